package kyc

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func FuzzSumsub(f *testing.F)  { fuzz(f, &sumsub) }
func FuzzPersona(f *testing.F) { fuzz(f, &persona) }
func FuzzOnfido(f *testing.F)  { fuzz(f, &onfido) }
func FuzzVeriff(f *testing.F)  { fuzz(f, &veriff) }

// fuzz: whatever a vendor sends, what is made of it can be stored and answered, and is the same when it comes again.
func fuzz(f *testing.F, v *vendor) {
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := v.event(body)
		if err != nil {
			if err != ErrForm && err != errNothing {
				t.Errorf("%v", err)
			}
			return
		}
		if again, err := v.event(body); err != nil || again.id != e.id || again.status != e.status || !again.at.Equal(e.at) {
			t.Errorf("read %+v, and then %+v, %v", e, again, err)
		}
		text := e.id + e.kind + e.level + strings.Join(e.labels, "")
		if e.id == "" || len(e.id) > 255 || len(e.level) > 255 || len(e.labels) > maxLabels || e.status == "" || strings.ContainsAny(text, "\x00\n<@") {
			t.Errorf("made %+v", e)
		}
		if _, err := e.at.UTC().MarshalJSON(); err != nil {
			t.Errorf("a time that cannot be answered: %v", err)
		}
	})
}

// FuzzSignature: no header opens what its secret did not sign.
func FuzzSignature(f *testing.F) {
	f.Fuzz(func(t *testing.T, signature, algorithm string, body []byte) {
		h := http.Header{"X-Payload-Digest-Alg": {algorithm}}
		for _, v := range vendors {
			h.Set(v.headers[0], signature)
		}
		for _, v := range vendors {
			if v.signed("a secret that nobody knows", h, body, time.Unix(1700000000, 0)) {
				t.Errorf("%s takes %q", v.name, signature)
			}
		}
	})
}
