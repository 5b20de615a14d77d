package api_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// published are the keys in the answer of /.well-known/jwks.json, by kid.
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

// verifies reports whether a token is signed by the published key that it names.
func (s *service) verifies(access string) bool {
	keys := s.published()
	_, err := jwt.Parse(access, func(t *jwt.Token) (any, error) { return keys[t.Header["kid"].(string)], nil },
		jwt.WithValidMethods([]string{"EdDSA"}))
	return err == nil
}

func TestOthersCanCheckAccessTokens(t *testing.T) {
	t.Parallel()
	s := newService(t)
	must(t, s.keys.Prepare(context.Background()))
	if n := len(s.published()); n != 1 {
		t.Errorf("%d keys before the first sign-in", n)
	}
	access := s.login(s.user()).access
	if !s.verifies(access) || len(s.published()) != 1 {
		t.Error("the token is not signed by the published key")
	}
}

func TestReplicasThatStartAtOnceMakeOneKey(t *testing.T) {
	t.Parallel()
	s := newService(t)
	replicas := []*service{s, s.replica(oldKey), s.replica(oldKey)}
	var wait sync.WaitGroup
	for i := range 30 {
		wait.Go(func() {
			if err := replicas[i%3].keys.Prepare(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := one[int](s.deployment, `select count(*) from signing_keys`); n != 1 {
		t.Errorf("%d keys", n)
	}
}

func TestARetiredKeySignsNothingAndStillVerifies(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	before := s.login(p)
	_, oldKid := s.claimsOf(before.access)
	s.exec(`update signing_keys set retired_at = now()`)
	for _, after := range []string{s.login(p).access, s.pairOf(s.refresh(before.refresh)).access} {
		if _, kid := s.claimsOf(after); kid == oldKid || !s.verifies(after) {
			t.Error("signed with the retired key, or with one that nobody knows")
		}
		s.want(s.profile(after), http.StatusOK)
	}
	s.want(s.profile(before.access), http.StatusOK)
	if !s.verifies(before.access) || len(s.published()) != 2 {
		t.Error("the retired key is not published while its tokens are good")
	}
	s.exec(`update signing_keys set retired_at = now() - interval '17 minutes' where retired_at is not null`)
	if s.published()[oldKid] != nil || len(s.published()) != 1 {
		t.Error("the retired key is published for longer than its tokens are good")
	}
}

func TestAReplacedKeyringSignsAnew(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	before := s.login(p)
	_, oldKid := s.claimsOf(before.access)
	// A longer ring goes on with the key that is there; one that cannot open it makes another.
	if _, kid := s.claimsOf(s.replica(both).login(p).access); kid != oldKid {
		t.Error("a key was made without need")
	}
	replaced := s.replica(newKey)
	after := replaced.login(p)
	if _, kid := s.claimsOf(after.access); kid == oldKid {
		t.Error("signed with a key that the ring does not open")
	}
	for _, one := range []*service{s, replaced} {
		s.want(one.profile(before.access), http.StatusOK)
		s.want(one.profile(after.access), http.StatusOK)
	}
	// Who has only the old ring still signs, with the key it can open.
	if _, kid := s.claimsOf(s.login(p).access); kid != oldKid {
		t.Error("the old replica stopped signing")
	}
}
