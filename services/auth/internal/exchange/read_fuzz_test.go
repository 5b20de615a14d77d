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
	for _, body := range []string{`{"balances":[]}`, `{"retCode":0,"result":{}}`, `[{"active":true}]`, `{"message":"Invalid API Key"}`, `{"error":["EAPI:Invalid key"]}`,
		`{"error":[],"result":{}}`, `{"code":"0","data":[]}`, `{"code":-2015}`, `{"account":"sandbox"}`, `<html>`, ``, `null`, `[[[`, `{"code":1e999}`} {
		f.Add(200, []byte(body))
		f.Add(401, []byte(body))
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
