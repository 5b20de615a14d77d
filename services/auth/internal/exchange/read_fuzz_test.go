package exchange

import (
	"maps"
	"net/http"
	"slices"
	"testing"
)

// FuzzAnswers: whatever an exchange answers is understood or Unreachable, and only a 200 can be OK.
func FuzzAnswers(f *testing.F) {
	readers := []func(int, []byte) Code{readSandbox}
	for _, name := range slices.Sorted(maps.Keys(venues)) {
		readers = append(readers, venues[name].read)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, read := range readers {
			code := read(status, body)
			if messages[code] == "" || code == UnsupportedExchange || code == OK && status != http.StatusOK {
				t.Errorf("%d %q: got %q", status, body, code)
			}
		}
	})
}
