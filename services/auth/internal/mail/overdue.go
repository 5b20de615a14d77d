package mail

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// Overdue returns the number of mails that are still to be sent and were written longer ago than age.
func Overdue(ctx context.Context, db *sqlx.DB, age time.Duration) (n int, err error) {
	const q = `select count(*) from mails where due_at is not null and created_at < now() - make_interval(secs => $1)`
	if err := db.GetContext(ctx, &n, q, age.Seconds()); err != nil {
		return 0, fmt.Errorf("counting overdue mails: %w", err)
	}
	return n, nil
}
