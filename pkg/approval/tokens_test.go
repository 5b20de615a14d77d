package approval_test

import (
	"bytes"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/token"
)

const twoKeys = "new:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=,old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// TestDerivedTokens: the same row gives the same tokens, also after a rotation of PIN_KEYS. Every other input gives other tokens.
func TestDerivedTokens(t *testing.T) {
	t.Parallel()
	ring, err := keyring.Parse(twoKeys)
	if err != nil {
		t.Fatal(err)
	}
	row := approval.Row{Nonce: bytes.Repeat([]byte{1}, 32), KeyID: "old"}
	other, otherKey := row, row
	other.Nonce = bytes.Repeat([]byte{2}, 32)
	otherKey.KeyID = "new"
	seen := map[string]bool{}
	for _, r := range []approval.Row{row, other, otherKey} {
		link, again := must(r.LinkToken(ring))(t), must(r.LinkToken(ring))(t)
		if link.Reveal() != again.Reveal() {
			t.Error("the same row gives two links")
		}
		if _, err := token.Parse(token.Approval, link.Reveal(), 0); err != nil {
			t.Error(err)
		}
		holder := uuid.New()
		for _, use := range []string{"a", "b"} {
			session := must(r.SessionToken(ring, holder, []byte(use)))(t)
			if parsed, err := token.Parse(token.Session, session.Reveal(), 16); err != nil || uuid.UUID(parsed.Head()) != holder {
				t.Errorf("%v", err)
			}
			seen[session.Reveal()] = true
		}
		seen[link.Reveal()] = true
	}
	if len(seen) != 9 {
		t.Errorf("%d different tokens, want 9", len(seen))
	}
	row.KeyID = "lost"
	if _, err := row.LinkToken(ring); err == nil {
		t.Error("a token was derived without its key")
	}
}

func must(tk token.Token, err error) func(*testing.T) token.Token {
	return func(t *testing.T) token.Token {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return tk
	}
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://approve.example.com":      "https://approve.example.com",
		"https://approve.example.com/":     "https://approve.example.com",
		"https://approve.example.com:8443": "https://approve.example.com:8443",
		"http://127.0.0.1:8082":            "http://127.0.0.1:8082",
		"http://[::1]:8082":                "http://[::1]:8082",
		"http://localhost:8082":            "http://localhost:8082",
		"http://approve.example.com":       "",
		"http://127.0.0.1.example.com":     "",
		"https://approve.example.com/a":    "",
		"https://approve.example.com?a=b":  "",
		"https://approve.example.com#a":    "",
		"https://user@example.com":         "",
		"https://:443":                     "",
		"ftp://approve.example.com":        "",
		"approve.example.com":              "",
		"":                                 "",
	} {
		u, err := approval.ParseURL("APPROVAL_URL", text)
		if (err == nil) != (want != "") || err == nil && u.String() != want {
			t.Errorf("%q: %q, %v", text, u, err)
		}
	}
}
