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

func (s *service) revoke(session string) {
	s.t.Helper()
	s.Want(s.Do(webtest.Request{Method: "DELETE", Path: s.at("/pin/sessions"), Header: s.bearer(), Body: map[string]any{"session_token": session}}), 204)
}

func (s *service) isActive(session string) bool {
	s.t.Helper()
	introspected := s.Want(s.post("/pin/sessions/introspect", map[string]any{"session_token": session}), 200).JSON("active") == true
	if checked := s.check(session, "").JSON("session_active") == true; checked != introspected {
		s.t.Errorf("check-required: %v, introspect: %v", checked, introspected)
	}
	return introspected
}

// Redis loses the deletion, for example in a failover, or does not have the session when it is revoked.
func TestRevokedSessionDoesNotComeBack(t *testing.T) {
	t.Parallel()
	s := newService(t)
	client := storetest.RedisClient(t, storetest.Redis(t))
	s.setPIN()
	var session string
	for _, lost := range []bool{false, true} {
		session, _ = s.verify(right).JSON("session_token").(string)
		value, err := client.Get(t.Context(), sessionKey(t, session)).Bytes()
		must(t, err)
		if lost {
			must(t, client.Del(t.Context(), sessionKey(t, session)).Err())
		}
		s.revoke(session)
		must(t, client.Set(t.Context(), sessionKey(t, session), value, time.Hour).Err())
		if s.isActive(session) {
			t.Errorf("the session is active again; lost before the revocation: %v", lost)
		}
	}
	set := webtest.Request{Method: "POST", Path: s.at(s.identityPath()), Header: s.bearer(), Body: map[string]any{"pin": other}}
	set.Header["X-Pin-Session"] = session
	s.Want(s.Do(set), 403)
}

func TestSessionIsRevokedWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	s := newServiceOn(t, server.URL)
	s.setPIN()
	var sessions [3]string // to be revoked, to be revoked by another instance, to be kept
	for i := range sessions {
		sessions[i], _ = s.verify(right).JSON("session_token").(string)
	}
	server.Pause()
	s.revoke(sessions[0])
	s.revoke(token.New(token.Session, uuid.Nil[:]...).Reveal()) // of an unknown holder
	s.revoke("x")
	home, key := s.instance, s.key
	s.instance = s.people.Instance()
	s.key = s.people.ProxyKey(s.instance)
	s.revoke(sessions[2]) // the person is not within this instance
	s.people.Identity(s.customer, s.instance)
	s.revoke(sessions[1]) // the person is, but the session is not of this instance
	s.instance, s.key = home, key
	server.Resume()
	kept := map[string]any{"session_token": sessions[2]}
	for end := time.Now().Add(30 * time.Second); s.post("/pin/sessions/introspect", kept).JSON("active") != true; {
		if time.Now().After(end) {
			t.Fatal("no session is active after Redis came back")
		}
	}
	if s.isActive(sessions[0]) || !s.isActive(sessions[1]) {
		t.Error("want the first session inactive, and the second active")
	}
	var rows int
	if s.people.Get(&rows, `select count(*) from revoked_sessions`); rows != 2 {
		t.Errorf("%d revocations, want 2", rows)
	}
}
