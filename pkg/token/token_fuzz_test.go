package token

import (
	"bytes"
	"testing"
)

// FuzzParse checks that a parsed credential equals the one that From makes from its parts, in the same spelling.
func FuzzParse(f *testing.F) {
	kinds := []Kind{ProxyKey, APIKey, Refresh, Session}
	for i, kind := range kinds {
		for head := range 3 {
			f.Add(uint8(i), uint8(8*head), From(kind, [secretBytes]byte{1, 2, 3}, make([]byte, 8*head)...).Reveal())
		}
	}
	valid := From(ProxyKey, [secretBytes]byte{}).Reveal()
	for _, text := range []string{"", "csp_", valid + "\n", valid[:20] + "\r\n" + valid[20:], valid[:len(valid)-1], valid + "0", valid + "=", "CSP_" + valid[4:]} {
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
			t.Fatalf("a malformed text was parsed: %v", err)
		}
		if !bytes.Equal(read.Head(), payload[:headBytes]) {
			t.Error("the head is wrong")
		}
		again := From(k, [secretBytes]byte(payload[headBytes:int(headBytes)+secretBytes]), read.Head()...)
		if again.Reveal() != text || read.Reveal() != text {
			t.Errorf("another spelling of the same credential was parsed: %q", text)
		}
	})
}
