package api_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/slowhash"
)

func TestSignup(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := newPerson()
	requestID := uuid.NewString()
	a := s.want(s.post("/auth/signup", map[string]any{"email": strings.ToUpper(p.email), "password": p.password}, "X-Request-Id", requestID), http.StatusOK)
	user := a.body["user"].(map[string]any)
	if a.body["success"] != true || a.body["session"] != nil || a.body["error"] != nil || user["email"] != p.email || user["email_confirmed_at"] != nil {
		t.Errorf("got %s", a.Body)
	}
	if id := one[string](s.deployment, `select id from users where email = $1 and email_confirmed_at is null and role = 'user'`, p.email); id != user["id"] {
		t.Errorf("stored %s, answered %s", id, user["id"])
	}
	const q = `select count(*) from audit where action = 'user.signup' and actor_kind = 'anonymous' and target_id = $1 and request_id = $2 and address = '127.0.0.1'`
	if n := one[int](s.deployment, q, user["id"], requestID); n != 1 {
		t.Errorf("%d audit rows", n)
	}
}

func TestSignupHasTheSameAnswerForAKnownAddress(t *testing.T) {
	t.Parallel()
	s := newService(t)
	fresh := s.post("/auth/signup", newPerson().form())
	for name, existing := range map[string]person{"unconfirmed": s.signedUp(), "confirmed": s.user()} {
		for _, spelling := range []string{existing.email, strings.ToUpper(existing.email)} {
			stored := one[string](s.deployment, `select u::text from users u where email = $1`, existing.email)
			a := s.want(s.post("/auth/signup", map[string]any{"email": spelling, "password": "Another-canary-1"}), http.StatusOK)
			user := a.body["user"].(map[string]any)
			if a.body["session"] != nil || a.body["error"] != nil || user["email"] != existing.email || user["email_confirmed_at"] != nil {
				t.Errorf("%s: got %s", name, a.Body)
			}
			if keys, want := slices.Sorted(maps.Keys(a.Header)), slices.Sorted(maps.Keys(fresh.Header)); !slices.Equal(keys, want) {
				t.Errorf("%s: headers %v, and of a new address %v", name, keys, want)
			}
			if id, err := uuid.Parse(user["id"].(string)); err != nil || id.Version() != 4 {
				t.Errorf("%s: id %v", name, user["id"])
			}
			if n := one[int](s.deployment, `select count(*) from users where id = $1`, user["id"]); n != 0 {
				t.Errorf("%s: the answer has the user's id", name)
			}
			if now := one[string](s.deployment, `select u::text from users u where email = $1`, existing.email); now != stored {
				t.Errorf("%s: the user was changed", name)
			}
		}
	}
}

func TestOverloadedSignupAndLoginAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	tokens := s.login(p)
	var places []slowhash.Place
	for {
		place, err := s.pool.Reserve(uuid.New()) // each caller is a tenant
		if err != nil {
			break
		}
		places = append(places, place)
	}
	for _, path := range []string{"/auth/login", "/auth/signup"} {
		for _, form := range []map[string]any{p.form(), newPerson().form()} {
			if a := s.want(s.post(path, form), http.StatusServiceUnavailable); a.Header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
			}
		}
	}
	// Requests without a hash succeed.
	s.want(s.profile(tokens.access), http.StatusOK)
	s.want(s.refresh(tokens.refresh), http.StatusOK)
	for _, place := range places {
		place.Release()
	}
	s.login(p)
}

// The password has 8 code points, and 6 characters in NFC.
func TestSignupCountsCharactersInNFC(t *testing.T) {
	t.Parallel()
	s := newService(t)
	a := s.want(s.post("/auth/signup", person{newPerson().email, "a\u0308o\u0308abcd"}.form()), http.StatusUnprocessableEntity)
	if !strings.Contains(a.Body, `"loc":["body","password"]`) {
		t.Errorf("got %s", a.Body)
	}
}
