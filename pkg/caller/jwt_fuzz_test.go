package caller

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const issuer = "https://auth.example.test"

// FuzzAccessToken: what is read is a token that was signed, in the one spelling that it has; all else is ErrInvalid.
func FuzzAccessToken(f *testing.F) {
	kid := uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	tokens := NewAccessTokens(nil, issuer)
	claims := Claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{Audience}, Subject: kid.String(),
		IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}, SessionID: kid, Role: "user"}
	sign := func(method jwt.SigningMethod, key any, change func(*Claims)) string {
		c := claims
		change(&c)
		t := jwt.NewWithClaims(method, c)
		t.Header["kid"] = kid.String()
		text, err := t.SignedString(key)
		if err != nil {
			f.Fatal(err)
		}
		return text
	}
	good := sign(jwt.SigningMethodEdDSA, private, func(*Claims) {})
	parts := strings.Split(good, ".")
	for _, text := range []string{
		good, good + "=", good + "A", "Bearer " + good, parts[0] + "." + parts[1] + ".", parts[0] + ".." + parts[2], "..", "",
		sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, func(*Claims) {}),
		sign(jwt.SigningMethodHS256, []byte(private.Public().(ed25519.PublicKey)), func(*Claims) {}),
		sign(jwt.SigningMethodEdDSA, private, func(c *Claims) { c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Second)) }),
		sign(jwt.SigningMethodEdDSA, private, func(c *Claims) { c.IssuedAt = jwt.NewNumericDate(time.Now().Add(time.Minute)) }),
		sign(jwt.SigningMethodEdDSA, private, func(c *Claims) { c.Audience = nil }),
		sign(jwt.SigningMethodEdDSA, private, func(c *Claims) { c.Issuer += "/" }),
	} {
		f.Add(text)
	}
	lines := strings.NewReplacer("\r", "", "\n", "") // base64 passes over them, and no header can hold them
	f.Fuzz(func(t *testing.T, text string) {
		text = lines.Replace(text)
		// Whatever key it names, it is this one: the database is not what is fuzzed.
		unverified, _, err := jwt.NewParser().ParseUnverified(text, &Claims{})
		if err == nil {
			named, _ := unverified.Header["kid"].(string)
			if id, err := uuid.Parse(named); err == nil {
				tokens.keys.mu.Lock()
				tokens.keys.known = map[uuid.UUID]ed25519.PublicKey{id: private.Public().(ed25519.PublicKey)}
				tokens.keys.readAt = time.Now()
				tokens.keys.mu.Unlock()
			}
		}
		_, err = tokens.Read(t.Context(), text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		end := strings.LastIndexByte(text, '.')
		signature, err := base64.RawURLEncoding.Strict().DecodeString(text[end+1:])
		if err != nil || !ed25519.Verify(private.Public().(ed25519.PublicKey), []byte(text[:end]), signature) {
			t.Errorf("%q was read, and nobody signed it: %v", text, err)
		}
	})
}
