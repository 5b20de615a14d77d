package api_test

import (
	"testing"

	"github.com/countersign/countersign/pkg/testkit/webtest"
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
