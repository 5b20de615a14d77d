package keyring

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzParse checks that a parsed ring has a current key, that it can seal and open, and that an error repeats no entry.
func FuzzParse(f *testing.F) {
	const a, b = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "two:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
	for _, text := range []string{"", ",", ":", a, b, a + "," + b, " " + a + " ,\t" + b + "\n", a + "," + a, a + ",", a[:len(a)-1], "One" + a[3:],
		"one:" + strings.Repeat("A", 44), "one:" + strings.Repeat("\n", 8) + a[4:], "1-x:" + a[4:], "é:" + a[4:]} {
		f.Add(text)
	}
	const words = "want id:base64, with an id of a-z, 0-9 and - bytes in standard base64 its id occurs twice" // of the errors
	f.Fuzz(func(t *testing.T, text string) {
		ring, err := Parse(text)
		if err != nil {
			for _, entry := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ':' }) {
				if len(entry) > 10 && strings.Contains(err.Error(), entry) && !strings.Contains(words, entry) {
					t.Errorf("the error repeats an entry: %v", err)
				}
			}
			return
		}
		if ring.Current() != ring.IDs()[0] {
			t.Error("the current key is not the first")
		}
		for _, id := range ring.IDs() {
			if !idPattern.MatchString(id) {
				t.Errorf("id %q", id)
			}
			if key, err := ring.Subkey(id, Pepper); err != nil || len(key) != keyBytes {
				t.Errorf("subkey of %q: %v", id, err)
			}
		}
		sealed, err := ring.Seal(SigningKeys, "row", []byte("plain"))
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := ring.Open(SigningKeys, "row", sealed); err != nil || !bytes.Equal(opened, []byte("plain")) {
			t.Errorf("Open: %q, %v", opened, err)
		}
	})
}

// FuzzOpen checks that Open opens only what Seal returned.
func FuzzOpen(f *testing.F) {
	ring, err := Parse("one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := ring.Seal(SigningKeys, "row", []byte("plain"))
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range [][]byte{nil, []byte(":"), []byte("one:"), []byte("two:"), sealed[:15], sealed[:len(sealed)-1], append(sealed[:4:4], sealed[5:]...)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := ring.Open(SigningKeys, "row", text); err == nil && !bytes.Equal(text, sealed) {
			t.Errorf("Open accepted %x", text)
		}
	})
}
