package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// sessions returns the ids in the list, newest first, and the id that is marked as current.
func (s *service) sessions(access, query string) (ids []string, current string) {
	s.t.Helper()
	a := s.want(s.as(access, http.MethodGet, "/auth/sessions"+query, nil), http.StatusOK)
	for _, one := range a.body["items"].([]any) {
		session := one.(map[string]any)
		ids = append(ids, session["id"].(string))
		if session["current"] == true {
			current += session["id"].(string)
		}
	}
	return ids, current
}

func (s *service) sessionOf(p pair) string {
	s.t.Helper()
	claims, _ := s.claimsOf(p.access)
	return claims.SessionID.String()
}

func TestListSessions(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	s.login(s.user())
	ended, first, second := s.login(p), s.login(p), s.login(p)
	s.want(s.logout(ended.access), http.StatusOK)
	expired := s.sessionOf(s.login(p))
	s.exec(`update user_sessions set expires_at = now() where id = $1`, expired)

	ids, current := s.sessions(first.access, "")
	if strings.Join(ids, " ") != s.sessionOf(second)+" "+s.sessionOf(first) || current != s.sessionOf(first) {
		t.Errorf("listed %v, current %s", ids, current)
	}
	refreshed := s.pairOf(s.refresh(second.refresh))
	a := s.want(s.as(refreshed.access, http.MethodGet, "/auth/sessions/", nil), http.StatusOK)
	newest := a.body["items"].([]any)[0].(map[string]any)
	if len(newest) != 6 || newest["current"] != true || newest["refreshed_at"] == newest["created_at"] || newest["amr"].([]any)[0] != "pwd" || a.body["total"] != 2.0 {
		t.Errorf("got %s", a.Body)
	}
	if ids, _ := s.sessions(first.access, "?page=2&per_page=1"); len(ids) != 1 || ids[0] != s.sessionOf(first) {
		t.Errorf("page 2: %v", ids)
	}
	for _, query := range []string{"?page=0", "?per_page=101", "?per_page=x", "?page=1&page=2", "?page=99999999999"} {
		s.want(s.as(first.access, http.MethodGet, "/auth/sessions"+query, nil), http.StatusUnprocessableEntity)
	}
}

func TestEndSession(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	mine, lost, stranger := s.login(p), s.login(p), s.login(s.user())
	path := "/auth/sessions/" + s.sessionOf(lost)
	for range 2 { // the second time, the session has already ended
		if a := s.want(s.as(mine.access, http.MethodDelete, path, nil), http.StatusNoContent); a.Body != "" {
			t.Errorf("got %q", a.Body)
		}
	}
	s.want(s.replica(oldKey).profile(lost.access), http.StatusUnauthorized)
	s.want(s.refresh(lost.refresh), http.StatusUnauthorized)
	const trail = `select count(*) from audit a join user_sessions s on s.id = a.target_id where action = 'session.ended' and actor_kind = 'user'
	                  and actor_id = s.user_id and s.id = $1 and revoked_why = 'user'`
	if n := one[int](s.deployment, trail, s.sessionOf(lost)); n != 1 {
		t.Errorf("%d audit rows", n)
	}

	for _, id := range []string{s.sessionOf(stranger), uuid.NewString()} {
		a := s.want(s.as(mine.access, http.MethodDelete, "/auth/sessions/"+id, nil), http.StatusNotFound)
		if a.body["detail"] != "Session not found" {
			t.Errorf("got %s", a.Body)
		}
	}
	s.want(s.as(mine.access, http.MethodDelete, "/auth/sessions/nonsense", nil), http.StatusUnprocessableEntity)
	s.want(s.profile(stranger.access), http.StatusOK)
	s.want(s.as(mine.access, http.MethodDelete, "/auth/sessions/"+strings.ToUpper(s.sessionOf(mine)), nil), http.StatusNoContent)
	s.want(s.profile(mine.access), http.StatusUnauthorized)
}

func TestEndOtherSessions(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	mine, others, stranger := s.login(p), []pair{s.login(p), s.login(p)}, s.login(s.user())
	s.want(s.as(mine.access, http.MethodDelete, "/auth/sessions", nil), http.StatusNoContent)
	for _, other := range others {
		s.want(s.profile(other.access), http.StatusUnauthorized)
		s.want(s.refresh(other.refresh), http.StatusUnauthorized)
	}
	s.want(s.profile(stranger.access), http.StatusOK)
	s.pairOf(s.refresh(mine.refresh))
	if trail := one[string](s.deployment, `select string_agg(details::text, ' ') from audit where action = 'session.ended_others'`); trail != `{"sessions": 2}` {
		t.Errorf("audit rows: %s", trail)
	}
}
