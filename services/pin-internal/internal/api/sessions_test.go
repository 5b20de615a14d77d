package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
)

func TestSessionIsBoundToItsInstance(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	session := s.verify(right).JSON("session_token")
	first, second := s.instance, s.people.Instance()
	s.people.Identity(s.customer, second)
	s.instance, s.key = second, s.people.ProxyKey(second)
	s.Fields(s.post("/pin/sessions/introspect", map[string]any{"session_token": session}), map[string]any{"active": false})
	s.Want(s.Do(webtest.Request{Method: "DELETE", Path: s.at("/pin/sessions"), Header: s.bearer(), Body: map[string]any{"session_token": session}}), 204)
	s.instance, s.key = first, s.people.ProxyKey(first)
	body := map[string]any{"session_token": session}
	s.Fields(s.post("/pin/sessions/introspect", body), map[string]any{"active": true})
	for range 2 {
		s.Want(s.Do(webtest.Request{Method: "DELETE", Path: s.at("/pin/sessions"), Header: s.bearer(), Body: body}), 204)
		s.Fields(s.post("/pin/sessions/introspect", body), map[string]any{"active": false})
	}
}

// An intruder has the administrator's password of Redis and knows every id. Neither a session without a MAC nor a copy of a valid
// session under another token counts.
func TestForgedSessionIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	client := storetest.RedisClient(t, storetest.Redis(t))
	s.setPIN()
	issued, _ := s.verify(right).JSON("session_token").(string)
	valid := func(session string, want bool) {
		t.Helper()
		s.Fields(s.check(session, ""), map[string]any{"session_active": want, "required": !want})
		s.Fields(s.post("/pin/sessions/introspect", map[string]any{"session_token": session}), map[string]any{"active": want})
	}
	valid(issued, true)

	key := sessionKey(t, issued)
	value, err := client.Get(t.Context(), key).Result()
	must(t, err)
	plain := value[strings.Index(value, ":")+1+sha256.Size:]
	if !strings.HasPrefix(plain, `{"instance_id":`) {
		t.Fatal("the value is not a session behind a key id and a MAC")
	}
	forged := token.New(token.Session, s.identity[:]...).Reveal()
	for _, forgery := range []string{plain, value} {
		must(t, client.Set(t.Context(), sessionKey(t, forged), forgery, time.Hour).Err())
		valid(forged, false)
	}
	must(t, client.Set(t.Context(), key, plain, time.Hour).Err())
	valid(issued, false)
	must(t, client.Set(t.Context(), key, value, time.Hour).Err())
	valid(issued, true)
}

// sessionKey returns the key under which Redis has the session of a token.
func sessionKey(t *testing.T, text string) string {
	t.Helper()
	parsed, err := token.Parse(token.Session, text, len(uuid.UUID{}))
	must(t, err)
	return "pin:{" + uuid.UUID(parsed.Head()).String() + "}:session:" + hex.EncodeToString(parsed.Hash())
}
