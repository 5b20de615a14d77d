package audit

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/keyring"
)

// FuzzCursor checks that a cursor opens only in its exact spelling, and that every other text gives ErrCursor.
func FuzzCursor(f *testing.F) {
	ring, err := keyring.Parse("new:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=,old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		f.Fatal(err)
	}
	trail := Trail{Ring: ring}
	// A fixed cursor, because each encryption gives another text. It is the cursor of row 7 at one second after 1970.
	const valid = "bmV3Ovw2LyxmLkrYfbb1vPkuxYZUIDWndJbX0dm44lWwTJe3frjfLBJmbEJ083_Y"
	other, err := ring.Seal(keyring.SigningKeys, "", make([]byte, 16))
	if err != nil {
		f.Fatal(err)
	}
	for _, cursor := range []string{valid, valid + "=", valid[:len(valid)-1], valid + "\n", "", "new:", base64.RawURLEncoding.EncodeToString(other),
		base64.RawURLEncoding.EncodeToString([]byte("old:")), base64.RawURLEncoding.EncodeToString([]byte("unknown:xxxxxxxxxxxxxxxxxxxxxxxx"))} {
		f.Add(cursor)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		at, err := trail.openCursor(cursor)
		switch {
		case cursor == valid && (err != nil || at.id != 7 || !at.at.Equal(time.Unix(1, 0))):
			t.Errorf("the valid cursor gave %+v, %v", at, err)
		case cursor != valid && !errors.Is(err, ErrCursor):
			t.Errorf("%q opened: %+v, %v", cursor, at, err)
		}
	})
}
