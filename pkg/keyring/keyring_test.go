package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const (
	one = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	two = "two:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
)

func ring(t *testing.T, text string) *Ring {
	t.Helper()
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOpenChecksKeyPurposeAndRow(t *testing.T) {
	t.Parallel()
	plain := []byte("an exchange secret")
	sealed, err := ring(t, one).Seal(SigningKeys, "row 1", plain)
	if err != nil || bytes.Contains(sealed, plain) {
		t.Fatal(err)
	}
	changed := append([]byte{}, sealed...)
	changed[len(changed)-1] ^= 1
	for _, rule := range []struct {
		name    string
		ring    string
		purpose Purpose
		row     string
		sealed  []byte
		want    error
	}{
		{"unchanged", one, SigningKeys, "row 1", sealed, nil},
		{"with an older key of the ring", two + "," + one, SigningKeys, "row 1", sealed, nil},
		{"after its key was retired", two, SigningKeys, "row 1", sealed, ErrUnknownKey},
		{"in another row", one, SigningKeys, "row 2", sealed, ErrSealBroken},
		{"for another purpose", one, Pepper, "row 1", sealed, ErrSealBroken},
		{"changed", one, SigningKeys, "row 1", changed, ErrSealBroken},
		{"truncated", one, SigningKeys, "row 1", sealed[:10], ErrSealBroken},
		{"without a key id", one, SigningKeys, "row 1", []byte("nonsense"), ErrSealBroken},
		{"empty", one, SigningKeys, "row 1", nil, ErrSealBroken},
	} {
		opened, err := ring(t, rule.ring).Open(rule.purpose, rule.row, rule.sealed)
		if !errors.Is(err, rule.want) || rule.want == nil && !bytes.Equal(opened, plain) {
			t.Errorf("%s: %v, want %v", rule.name, err, rule.want)
		}
	}
}

func TestSubkeysDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, id := range []string{"one", "two"} {
		for _, purpose := range []Purpose{Pepper, SigningKeys, RefreshChain} {
			key, err := ring(t, one+","+two).Subkey(id, purpose)
			if err != nil || len(key) != keyBytes || seen[string(key)] {
				t.Errorf("%s for %s: %v", id, purpose, err)
			}
			seen[string(key)] = true
		}
	}
}

func TestErrorsAndFormattingPrintNoKey(t *testing.T) {
	t.Parallel()
	for text, entry := range map[string]string{
		"": "entry 1", "one": "entry 1", "one:": "entry 1", "One:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=": "entry 1",
		one + ",": "entry 2", one + "," + one: "entry 2", one + ",two:short": "entry 2", one + ",two:" + strings.Repeat("A", 500): "entry 2",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), entry) || strings.Contains(err.Error(), "AAEC") || strings.Contains(err.Error(), "short") {
			t.Errorf("%.20q…: %v", text, err)
		}
	}
	r := ring(t, " "+one+" , "+two+"\n")
	if r.Current() != "one" || len(r.IDs()) != 2 {
		t.Error("spaces around entries are not ignored")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		text := fmt.Sprintf(verb, []any{r, *r, &struct{ r *Ring }{r}})
		if strings.Contains(text, "0 1 2") || strings.Contains(text, "\x01\x02") || strings.Contains(text, "000102") {
			t.Errorf("%s prints the keys: %s", verb, text)
		}
	}
}

func TestSignedMessageIsBoundToItsPlaceAndPurpose(t *testing.T) {
	t.Parallel()
	signer := ring(t, one)
	signed, err := signer.Sign(PINSessions, "place", []byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	other := ring(t, two)
	for _, c := range []struct {
		name    string
		ring    *Ring
		purpose Purpose
		row     string
		signed  string
		want    error
	}{
		{"as signed", signer, PINSessions, "place", string(signed), nil},
		{"another place", signer, PINSessions, "places", string(signed), ErrForged},
		{"a place that takes a part of the message", signer, PINSessions, "placem", string(signed[:len(signed)-7]) + "essage", ErrForged},
		{"another purpose", signer, AuditCursor, "place", string(signed), ErrForged},
		{"another message", signer, PINSessions, "place", string(signed) + "s", ErrForged},
		{"an unknown key", other, PINSessions, "place", string(signed), ErrUnknownKey},
		{"empty", signer, PINSessions, "place", "", ErrForged},
		{"without a MAC", signer, PINSessions, "place", "one:message", ErrForged},
		{"without an id", signer, PINSessions, "place", "message", ErrForged},
	} {
		message, err := c.ring.Verify(c.purpose, c.row, []byte(c.signed))
		if !errors.Is(err, c.want) || err == nil && string(message) != "message" {
			t.Errorf("%s: %q, %v, want %v", c.name, message, err, c.want)
		}
	}
}
