package budget

import (
	"database/sql"
	"testing"
)

// The turn of a charge may come at the moment when the waiting charges are refused. Then it is refused too.
func TestRefusedChargeDoesNotTakeItsTurn(t *testing.T) {
	t.Parallel()
	q := &queue{turn: make(chan struct{}, 1), refused: make(chan struct{})}
	close(q.refused)
	for range 100 {
		if err := q.wait(t.Context(), q.refused); err != sql.ErrNoRows {
			t.Fatalf("%v, want sql.ErrNoRows", err)
		}
	}
}
