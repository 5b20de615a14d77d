package api_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
)

// waits starts n requests that wait for an approval, and returns when they wait. Each sends its answer.
func (s *service) waits(id string, n int) <-chan webtest.Answer {
	s.t.Helper()
	before := s.app.API.Answers.Waiting()
	answers := make(chan webtest.Answer, n)
	for range n {
		go func() {
			a, err := s.Try(webtest.Request{Method: "GET", Path: s.at("/approvals/" + id + "?wait=60"), Header: s.bearer()})
			if err != nil {
				s.t.Error(err)
			}
			answers <- a
		}()
	}
	for s.app.API.Answers.Waiting() < before+n {
		runtime.Gosched()
	}
	return answers
}

// decide writes a decision as pin-admin does, without the announcement.
func (s *service) decide(id, status string) {
	s.people.Exec(`update approvals a set status = $2, reason = case when $2 = 'denied' then 'person' end, decided_at = now(),
			expires_at = now() + interval '2 minutes', holder_id = h.holder_id, session_generation = h.session_generation
		  from pin_holders h where a.id = $1 and h.holder_id = coalesce(a.identity_id, a.customer_id)`, id, status)
}

func TestWaitEndsWithTheAnswer(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		end  func(s *service, redis *storetest.RedisServer, id string)
		want object
	}{
		"approved, announced": {func(s *service, r *storetest.RedisServer, id string) {
			s.decide(id, "approved")
			approval.Announce(context.Background(), storetest.RedisClient(s.t, r.URL), uuid.MustParse(id))
		}, object{"status": "approved", "url": nil, "reason": nil}},
		"denied, and the announcement is lost": {func(s *service, r *storetest.RedisServer, id string) { s.decide(id, "denied") },
			object{"status": "denied", "url": nil, "reason": "person"}},
		"cancelled": {func(s *service, r *storetest.RedisServer, id string) { s.Want(s.cancel(id), 204) }, object{"status": "cancelled", "reason": nil}},
		"Redis is flushed": {func(s *service, r *storetest.RedisServer, id string) {
			must(s.t, storetest.RedisClient(s.t, r.URL).FlushAll(context.Background()).Err())
			s.decide(id, "approved")
		}, object{"status": "approved"}},
		"Redis is down": {func(s *service, r *storetest.RedisServer, id string) { r.Stop(); s.decide(id, "approved") }, object{"status": "approved"}},
		"Postgres ends all connections": {func(s *service, r *storetest.RedisServer, id string) {
			s.people.Exec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)
			s.decide(id, "approved")
		}, object{"status": "approved"}},
		"the approval is deleted": {func(s *service, r *storetest.RedisServer, id string) { s.people.Exec(`delete from approvals`) }, nil},
		"it expires": {func(s *service, r *storetest.RedisServer, id string) {
			s.people.Exec(`update approvals set expires_at = now() where id = $1`, id)
		}, object{"status": "expired", "reason": nil, "url": nil}},
		"the service stops": {func(s *service, r *storetest.RedisServer, id string) { s.stop() }, object{"status": "pending"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := storetest.OwnRedis(t)
			s := newServiceOn(t, storetest.RedisAs(t, redis.URL, schema.RolePinInternal))
			s.setPIN()
			id := s.asked(object{"expires_in": 3600, "skill": "pay", "identity_id": s.protect("pay")})
			answers := s.waits(id, 3)
			rule.end(s, redis, id)
			for range 3 {
				a := <-answers
				if rule.want == nil {
					s.Fields(s.Want(a, 404), object{"detail": "Approval not found"})
					continue
				}
				s.Fields(s.Want(a, 200), rule.want)
				s.Fields(a, object{"id": id})
			}
			for s.app.API.Answers.Waiting() > 0 {
				runtime.Gosched()
			}
		})
	}
}

// protect makes a skill need a session, and returns the identity.
func (s *service) protect(name string) uuid.UUID {
	s.people.Exec(`update instances set pin_required_skills = array[$2] where id = $1`, s.instance, name)
	return s.identity
}

func TestWaitOfAnAnsweredApprovalIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	id := s.asked()
	s.Fields(s.Want(s.read(id, "?wait=0"), 200), object{"status": "pending"})
	s.decide(id, "approved")
	s.Fields(s.Want(s.read(id, "?wait=60"), 200), object{"status": "approved", "url": nil})
	// A lock, a change or a removal of the PIN renews its session generation.
	s.people.Exec(`update pin_holders set session_generation = gen_random_uuid()`)
	s.Fields(s.Want(s.read(id, "?wait=60"), 200), object{"status": "expired", "reason": "pin_changed"})
}

func TestWaitEndsAtItsEndAndAtTheExpiry(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	id := s.asked()
	s.Fields(s.Want(s.read(id, "?wait=1"), 200), object{"status": "pending"})
	s.people.Exec(`update approvals set expires_at = now() + interval '1 second' where id = $1`, id)
	s.Fields(s.Want(s.read(id, "?wait=60"), 200), object{"status": "expired"})
}

func TestClientThatHasGoneFreesItsPlace(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	id := s.asked()
	ctx, leave := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for range 10 {
		running.Go(func() {
			request, err := http.NewRequestWithContext(ctx, "GET", s.URL()+s.at("/approvals/"+id+"?wait=60"), nil)
			if err != nil {
				t.Error(err)
				return
			}
			request.Header.Set("Authorization", "Bearer "+s.key.Reveal())
			if _, err := http.DefaultClient.Do(request); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	for s.app.API.Answers.Waiting() < 10 {
		runtime.Gosched()
	}
	a := s.Want(s.read(id, "?wait=60"), 429)
	s.Fields(a, object{"code": "too_many_waiting"})
	if a.Header.Get("Retry-After") != "5" {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}
	leave()
	running.Wait()
	for s.app.API.Answers.Waiting() > 0 {
		runtime.Gosched()
	}
	s.Want(s.read(id, "?wait=1"), 200)
	for !strings.Contains(s.log.String(), `"status":499`) {
		runtime.Gosched()
	}
}

func TestCancelApproval(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	first := s.asked()
	s.Want(s.cancel(first), 204)
	s.Want(s.cancel(first), 204)
	s.Fields(s.Want(s.read(first, ""), 200), object{"status": "cancelled", "url": nil})
	for status, code := range map[string]string{"denied": "approval_denied", "approved": "", "expired": "approval_expired", "used": "approval_used"} {
		id := s.asked(object{"skill": "Pay", "arguments": object{"status": status}})
		switch status {
		case "expired":
			s.people.Exec(`update approvals set expires_at = now() where id = $1`, id)
		case "used":
			s.decide(id, "approved")
			s.people.Exec(`update approvals set status = 'used', used_at = now(), use_hash = sha256('') where id = $1`, id)
		default:
			s.decide(id, status)
		}
		a := s.cancel(id)
		if code == "" {
			s.Want(a, 204)
			s.Fields(s.Want(s.read(id, ""), 200), object{"status": "cancelled"})
			continue
		}
		s.Fields(s.Want(a, 409), object{"code": code})
		s.Fields(s.Want(s.read(id, ""), 200), object{"status": status})
	}
	// The person and the agent at the same time: one of them wins, and the trail has one row.
	id := s.asked(object{"arguments": object{"n": "parallel"}})
	var running sync.WaitGroup
	for range 10 {
		running.Go(func() {
			if a, err := s.Try(webtest.Request{Method: "POST", Path: s.at("/approvals/" + id + "/cancel"), Header: s.bearer()}); err != nil || a.Status != 204 {
				t.Errorf("%d %s, %v", a.Status, a.Body, err)
			}
		})
	}
	running.Wait()
	var cancelled int
	if s.people.Get(&cancelled, `select count(*) from audit where action = 'approval.cancelled' and target_id = $1`, id); cancelled != 1 {
		t.Errorf("%d rows in the trail", cancelled)
	}
}

// Another instance has its own approvals.
func TestApprovalOfAnotherInstanceIsNotFound(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	id := s.asked()
	own := s.instance
	s.instance = s.people.Instance()
	s.key = s.people.ProxyKey(s.instance)
	for _, a := range []webtest.Answer{s.read(id, ""), s.read(id, "?wait=60"), s.cancel(id), s.read(uuid.NewString(), "")} {
		s.Fields(s.Want(a, 404), object{"detail": "Approval not found"})
	}
	s.instance = own
	s.Fields(s.Want(s.read(id, ""), 404), object{"detail": "Instance not found"})
}
