package exchange

import (
	"maps"
	"net/http"
	"slices"
	"testing"
)

// FuzzAnswers checks that every answer of an exchange gives a known code, and that only status 200 gives OK.
func FuzzAnswers(f *testing.F) {
	parsers := []func(int, []byte) Code{parseSandbox}
	for _, name := range slices.Sorted(maps.Keys(exchanges)) {
		parsers = append(parsers, exchanges[name].parse)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, parse := range parsers {
			code := parse(status, body)
			if messages[code] == "" || code == UnsupportedExchange || code == OK && status != http.StatusOK {
				t.Errorf("%d %q: got %q", status, body, code)
			}
		}
	})
}
