package accesstoken

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/caller"
)

const issuer = "https://auth.example.test"

// FuzzAccessToken checks that Read accepts only a correctly signed token in its canonical spelling, and returns
// caller.ErrInvalid for every other text.
func FuzzAccessToken(f *testing.F) {
	kid := uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	reader := NewReader(nil, issuer)
	claims := Claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{Audience}, Subject: kid.String(), ID: kid.String(),
		IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}, ClientID: SignInClient, SessionID: kid, Role: "user", AuthTime: jwt.NewNumericDate(time.Now())}
	typed := func(typ any, method jwt.SigningMethod, key any, change func(*Claims)) string {
		c := claims
		change(&c)
		t := jwt.NewWithClaims(method, c)
		t.Header["kid"], t.Header["typ"] = kid.String(), typ
		text, err := t.SignedString(key)
		if err != nil {
			f.Fatal(err)
		}
		return text
	}
	sign := func(method jwt.SigningMethod, key any, change func(*Claims)) string {
		return typed(Type, method, key, change)
	}
	valid := sign(jwt.SigningMethodEdDSA, private, func(*Claims) {})
	parts := strings.Split(valid, ".")
	for _, text := range []string{
		valid, valid + "=", valid + "A", "Bearer " + valid, parts[0] + "." + parts[1] + ".", parts[0] + ".." + parts[2], "..", "",
		sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, func(*Claims) {}),
		sign(jwt.SigningMethodHS256, []byte(private.Public().(ed25519.PublicKey)), func(*Claims) {}),
		sign(jwt.SigningMethodEdDSA, private, func(c *Claims) { c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Second)) }),
		sign(jwt.SigningMethodEdDSA, private, func(c *Claims) { c.IssuedAt = jwt.NewNumericDate(time.Now().Add(time.Minute)) }),
		sign(jwt.SigningMethodEdDSA, private, func(c *Claims) { c.Audience = nil }),
		sign(jwt.SigningMethodEdDSA, private, func(c *Claims) { c.Issuer += "/" }),
		sign(jwt.SigningMethodEdDSA, private, func(c *Claims) { c.ClientID = "" }),
		sign(jwt.SigningMethodEdDSA, private, func(c *Claims) { c.AuthTime = nil }),
		sign(jwt.SigningMethodEdDSA, private, func(c *Claims) { c.SessionID, c.ClientID = uuid.Nil, c.Subject }),
		typed("JWT", jwt.SigningMethodEdDSA, private, func(*Claims) {}),
		typed(nil, jwt.SigningMethodEdDSA, private, func(*Claims) {}),
	} {
		f.Add(text)
	}
	noLineEnds := strings.NewReplacer("\r", "", "\n", "") // base64 ignores line ends, and a header contains none
	f.Fuzz(func(t *testing.T, text string) {
		text = noLineEnds.Replace(text)
		// Every key id names the same key, so that the test needs no database.
		unverified, _, err := jwt.NewParser().ParseUnverified(text, &Claims{})
		if err == nil {
			keyID, _ := unverified.Header["kid"].(string)
			if id, err := uuid.Parse(keyID); err == nil {
				reader.keys.mu.Lock()
				reader.keys.known = map[uuid.UUID]ed25519.PublicKey{id: private.Public().(ed25519.PublicKey)}
				reader.keys.knownAt = time.Now()
				reader.keys.mu.Unlock()
			}
		}
		claims, err := reader.Read(t.Context(), text)
		if err != nil {
			if !errors.Is(err, caller.ErrInvalid) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		end := strings.LastIndexByte(text, '.')
		signature, err := base64.RawURLEncoding.Strict().DecodeString(text[end+1:])
		if err != nil || !ed25519.Verify(private.Public().(ed25519.PublicKey), []byte(text[:end]), signature) {
			t.Errorf("%q was read, but its signature is wrong: %v", text, err)
		}
		if unverified.Header["typ"] != Type || claims.ID == "" || claims.ClientID == "" || claims.Subject == "" {
			t.Errorf("%q was read, but it is no access token of RFC 9068", text)
		}
	})
}
