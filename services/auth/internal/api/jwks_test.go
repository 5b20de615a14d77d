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

// kidOf is the key by which a sign-in is signed now.
func (s *service) kidOf(p person) string {
	s.t.Helper()
	_, kid := s.claimsOf(s.login(p).access)
	return kid
}

// TestKeysAreReplacedWithOverlap follows a rotation: the new key is published before it signs, and the old one while its
// tokens are good; all replicas change over at the same moment.
func TestKeysAreReplacedWithOverlap(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]string{
		"by age":         `update signing_keys set created_at = now() - interval '2160 hours'`,
		"by an operator": `update signing_keys set created_at = now() - interval '1 day', retired_at = now() + interval '15 minutes'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t)
			replicas, p := []*service{s, s.replica(oldKey)}, s.user()
			tokens := s.login(p)
			_, old := s.claimsOf(tokens.access)
			prepare := func() {
				var wait sync.WaitGroup
				for i := range 20 {
					wait.Go(func() {
						if err := replicas[i%2].keys.Prepare(context.Background()); err != nil {
							t.Error(err)
						}
					})
				}
				wait.Wait()
			}
			pass := func(minutes int) {
				s.exec(`update signing_keys set created_at = created_at - make_interval(mins => $1), retired_at = retired_at - make_interval(mins => $1)`, minutes)
			}
			prepare()
			if kid := s.kidOf(p); kid != old || len(s.published()) != 1 {
				t.Errorf("a key was made before one was needed: %d", len(s.published()))
			}
			s.exec(begin)
			prepare()
			prepare()
			if published := s.published(); len(published) != 2 || published[old] == nil {
				t.Fatalf("%d keys are published", len(published))
			}
			for range 2 {
				for _, replica := range replicas {
					if replica.kidOf(p) != old {
						t.Error("the new key signs before every verifier may know it")
					}
				}
				pass(4)
			}
			pass(3)
			fresh := s.kidOf(p)
			if fresh == old || replicas[1].kidOf(p) != fresh || s.published()[fresh] == nil {
				t.Error("the new key does not sign, or not everywhere")
			}
			s.want(replicas[1].profile(tokens.access), http.StatusOK)
			if !s.verifies(tokens.access) {
				t.Error("the old key is not published while its tokens are good")
			}
			pass(22)
			if s.published()[old] != nil {
				t.Error("the old key is published for longer than its tokens are good")
			}
			prepare()
			if s.kidOf(p) != fresh || len(s.published()) != 1 {
				t.Error("the new key did not stay the only one")
			}
		})
	}
}

// TestARevokedKeyIsReplacedAtOnce: an operator deletes a key that somebody else has.
func TestARevokedKeyIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	stolen := s.login(p)
	s.exec(`delete from signing_keys`)
	after := s.pairOf(s.refresh(stolen.refresh))
	restarted := s.replica(oldKey) // those who know a key by heart take it for some minutes
	s.want(restarted.profile(stolen.access), http.StatusUnauthorized)
	s.want(restarted.profile(after.access), http.StatusOK)
	if len(s.published()) != 1 || !s.verifies(after.access) {
		t.Error("the keys that are published are not those that sign")
	}
}
