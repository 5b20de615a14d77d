package api_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// published returns the keys in the answer of /.well-known/jwks.json, by kid.
func (s *service) published() map[string]ed25519.PublicKey {
	s.t.Helper()
	a := s.want(s.request(http.MethodGet, "/.well-known/jwks.json", nil), http.StatusOK)
	if !strings.Contains(a.Header.Get("Cache-Control"), "max-age=") {
		s.t.Errorf("Cache-Control is %q", a.Header.Get("Cache-Control"))
	}
	keys := map[string]ed25519.PublicKey{}
	for _, one := range a.body["keys"].([]any) {
		key := one.(map[string]any)
		if len(key) != 6 || key["kty"] != "OKP" || key["crv"] != "Ed25519" || key["alg"] != "EdDSA" || key["use"] != "sig" {
			s.t.Errorf("key %v", key)
		}
		x, err := base64.RawURLEncoding.DecodeString(key["x"].(string))
		must(s.t, err)
		keys[key["kid"].(string)] = x
	}
	return keys
}

// verifies reports whether the published key that a token names verifies the token.
func (s *service) verifies(access string) bool {
	keys := s.published()
	_, err := jwt.Parse(access, func(t *jwt.Token) (any, error) { return keys[t.Header["kid"].(string)], nil },
		jwt.WithValidMethods([]string{"EdDSA"}))
	return err == nil
}

func TestJWKSVerifiesAccessTokens(t *testing.T) {
	t.Parallel()
	s := newService(t)
	if n := len(s.published()); n != 1 {
		t.Errorf("%d keys before the first login", n)
	}
	access := s.login(s.user()).access
	if !s.verifies(access) || len(s.published()) != 1 {
		t.Error("the published key does not verify the token")
	}
}

func TestTokensOfRetiredAndReplacedKeysStayValid(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	before := s.login(p)
	s.exec(`update signing_keys set retired_at = now()`)
	replaced := s.replica(newKey)
	tokens := []string{before.access, s.login(p).access, s.pairOf(s.refresh(before.refresh)).access, replaced.login(p).access}
	if n := len(s.published()); n != 3 {
		t.Errorf("%d keys are published", n)
	}
	for i, access := range tokens {
		if !s.verifies(access) {
			t.Errorf("token %d does not verify", i)
		}
		s.want(s.profile(access), http.StatusOK)
		s.want(replaced.profile(access), http.StatusOK)
	}
}

func TestTokensOfARevokedKeyAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	stolen := s.login(p)
	s.exec(`delete from signing_keys`)
	after := s.pairOf(s.refresh(stolen.refresh))
	restarted := s.replica(oldKey) // a running replica caches the key for some minutes
	s.want(restarted.profile(stolen.access), http.StatusUnauthorized)
	s.want(restarted.profile(after.access), http.StatusOK)
	if len(s.published()) != 1 || !s.verifies(after.access) {
		t.Error("the published key does not verify the new token")
	}
}
