package kyc

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func FuzzSumsub(f *testing.F)  { fuzzEvents(f, Sumsub{}.vendor()) }
func FuzzPersona(f *testing.F) { fuzzEvents(f, Persona{}.vendor()) }
func FuzzOnfido(f *testing.F)  { fuzzEvents(f, Onfido{}.vendor()) }
func FuzzVeriff(f *testing.F)  { fuzzEvents(f, Veriff{}.vendor()) }

// fuzzEvents checks that every event can be stored and answered, and is the same when its body is read again.
func fuzzEvents(f *testing.F, v vendor) {
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := v.event(body, "")
		if err != nil {
			if err != ErrForm && err != errIgnored {
				t.Errorf("%v", err)
			}
			return
		}
		if again, err := v.event(body, ""); err != nil || again.id != e.id || again.status != e.status || !again.at.Equal(e.at) {
			t.Errorf("read %+v, and then %+v, %v", e, again, err)
		}
		text := e.id + e.kind + e.level + strings.Join(e.labels, "")
		if e.id == "" || len(e.id) > 255 || len(e.level) > 255 || len(e.labels) > maxLabels || e.status == "" || strings.ContainsAny(text, "\x00\n<@") {
			t.Errorf("read %+v", e)
		}
		if _, err := e.at.UTC().MarshalJSON(); err != nil {
			t.Errorf("a time that JSON cannot represent: %v", err)
		}
	})
}

// FuzzSignature checks that no header proves a body that its secret did not sign.
func FuzzSignature(f *testing.F) {
	f.Fuzz(func(t *testing.T, signature, algorithm string, body []byte) {
		all := Vendors{}.all()
		h := http.Header{"X-Payload-Digest-Alg": {algorithm}}
		for _, v := range all {
			h.Set(v.headers[0], signature)
		}
		for _, v := range all {
			if v.verify("an unknown secret", h, body, time.Unix(1700000000, 0)) {
				t.Errorf("%s accepts %q", v.name, signature)
			}
		}
	})
}
