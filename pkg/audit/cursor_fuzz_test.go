package audit

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/keyring"
)

// FuzzCursor: what opens is a cursor that was answered here, in the one spelling that it has; all else is the client's
// mistake.
func FuzzCursor(f *testing.F) {
	ring, err := keyring.Parse("new:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=,old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		f.Fatal(err)
	}
	trail := Trail{Ring: ring}
	// Sealed once, for each is sealed differently: of row 7 at one second past 1970.
	const good = "bmV3Ovw2LyxmLkrYfbb1vPkuxYZUIDWndJbX0dm44lWwTJe3frjfLBJmbEJ083_Y"
	other, err := ring.Seal(keyring.SigningKeys, "", make([]byte, 16))
	if err != nil {
		f.Fatal(err)
	}
	for _, cursor := range []string{good, good + "=", good[:len(good)-1], good + "\n", "", "new:", base64.RawURLEncoding.EncodeToString(other),
		base64.RawURLEncoding.EncodeToString([]byte("old:")), base64.RawURLEncoding.EncodeToString([]byte("nobodys:xxxxxxxxxxxxxxxxxxxxxxxx"))} {
		f.Add(cursor)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		at, err := trail.open(cursor)
		switch {
		case cursor == good && (err != nil || at.id != 7 || !at.at.Equal(time.Unix(1, 0))):
			t.Errorf("a good one gave %+v, %v", at, err)
		case cursor != good && !errors.Is(err, ErrCursor):
			t.Errorf("%q opened: %+v, %v", cursor, at, err)
		}
	})
}
