package token

import (
	"bytes"
	"testing"
)

// FuzzParse: what is read is a credential that we could have made, in the one spelling that it has.
func FuzzParse(f *testing.F) {
	kinds := []Kind{ProxyKey, APIKey, Refresh, Session}
	for i, kind := range kinds {
		for head := range 3 {
			f.Add(uint8(i), uint8(8*head), From(kind, [secretBytes]byte{1, 2, 3}, make([]byte, 8*head)...).Reveal())
		}
	}
	good := From(ProxyKey, [secretBytes]byte{}).Reveal()
	for _, text := range []string{"", "csp_", good + "\n", good[:20] + "\r\n" + good[20:], good[:len(good)-1], good + "0", good + "=", "CSP_" + good[4:]} {
		f.Add(uint8(0), uint8(0), text)
	}
	f.Fuzz(func(t *testing.T, kind, headBytes uint8, text string) {
		k := kinds[int(kind)%len(kinds)]
		read, err := Parse(k, text, int(headBytes))
		if err != nil {
			return
		}
		payload, err := encoding.DecodeString(text[len(k)+1:])
		if err != nil || len(payload) < int(headBytes)+secretBytes {
			t.Fatalf("read from what is none: %v", err)
		}
		if !bytes.Equal(read.Head(), payload[:headBytes]) {
			t.Error("its head is another one")
		}
		again := From(k, [secretBytes]byte(payload[headBytes:int(headBytes)+secretBytes]), read.Head()...)
		if again.Reveal() != text || read.Reveal() != text {
			t.Errorf("a second spelling of the same credential: %q", text)
		}
	})
}
