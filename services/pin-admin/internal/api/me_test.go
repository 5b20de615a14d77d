package api_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/services/pin-admin/internal/app"
)

// ageSignIns makes every sign-in older than 5 minutes.
func (s *service) ageSignIns() {
	s.people.Exec(`update user_sessions set proved_at = now() - interval '301 seconds'`)
}

// charged returns how many attempts were charged.
func (s *service) charged() (n int) {
	s.t.Helper()
	s.people.Get(&n, `select coalesce(max(charged), 0) from pin_holders where charged = (select count(*) from attempts where holder_id = pin_holders.holder_id)`)
	return n
}

const mine = "/v1/me/pin"

func TestGetMyPIN(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer := s.people.Customer()
	var email string
	s.people.Get(&email, `select email from customers where id = $1`, customer)
	access, _ := s.signIn(strings.ToUpper(email), "user")
	stranger, _ := s.signIn("nobody@example.com", "user")
	s.Fields(s.Want(s.as(access, "GET", mine, nil), 200), object{"has_pin": false})
	s.Want(s.ask("POST", "/v1/customers/"+customer.String()+"/pin", object{"pin": goodPIN}), 200)
	s.Fields(s.Want(s.as(access, "GET", mine, nil), 200), object{"has_pin": true, "is_active": true})
	s.Fields(s.Want(s.as(stranger, "GET", mine, nil), 200), object{"has_pin": false})
	s.Want(s.ask("GET", mine, nil), 403) // an API key is not a user
}

func TestChangeOfOnesOwnPINNeedsProof(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, access := s.signedInCustomer()
	unproved := func(a webtest.Answer) {
		t.Helper()
		if challenge := s.Want(a, 401).Header.Get("WWW-Authenticate"); !strings.Contains(challenge, `error="insufficient_user_authentication"`) || !strings.Contains(challenge, `max_age="300"`) {
			t.Errorf("WWW-Authenticate: %s", challenge)
		}
	}
	// Without a PIN, or without the current PIN, a recent sign-in is needed.
	s.ageSignIns()
	unproved(s.as(access, "PUT", mine, object{"pin": goodPIN}))
	unproved(s.as(access, "PUT", mine, object{"pin": goodPIN, "current_pin": otherPIN}))
	unproved(s.as(access, "DELETE", mine, nil))
	s.people.Exec(`update user_sessions set proved_at = now() - interval '290 seconds'`)
	s.Want(s.as(access, "DELETE", mine, nil), 204) // no PIN is set
	s.Fields(s.Want(s.as(access, "PUT", mine, object{"pin": otherPIN, "current_pin": goodPIN}), 200), object{"has_pin": true, "is_active": true, "is_locked": false})
	s.Fields(s.Want(s.as(access, "PUT", mine, object{"pin": goodPIN}), 200), object{"has_pin": true})
	// With an old sign-in, the current PIN is needed.
	s.ageSignIns()
	unproved(s.as(access, "PUT", mine+"/", object{"pin": otherPIN}))
	unproved(s.as(access, "DELETE", mine, object{}))
	s.Want(s.as(access, "PUT", mine, object{"pin": otherPIN, "current_pin": otherPIN}), 403)
	s.Want(s.as(access, "PUT", mine, object{"pin": otherPIN, "current_pin": goodPIN}), 200)
	s.Want(s.as(access, "DELETE", mine, object{"current_pin": goodPIN}), 403)
	if removed := s.Want(s.as(access, "DELETE", mine, object{"current_pin": otherPIN}), 204); removed.Body != "" {
		t.Errorf("204 with a body: %q", removed.Body)
	}
	s.Fields(s.Want(s.as(access, "GET", mine, nil), 200), object{"has_pin": false})
	if n := s.charged(); n != 4 {
		t.Errorf("%d attempts were charged, want 4", n)
	}
	var trail string
	s.people.Get(&trail, `select string_agg(action, ' ' order by id) from audit where actor_kind = 'user' and customer_id = $1`, customer)
	if trail != "pin.set pin.set pin.set pin.removed" {
		t.Errorf("the audit trail has %s", trail)
	}
	if keys := s.redis.Keys(t.Context(), "pin:{"+customer.String()+"}:session*").Val(); len(keys) != 0 {
		t.Errorf("checking the current PIN created sessions: %v", keys)
	}
}

// Guesses at current_pin are charged to the same budget as every other guess, and a recent sign-in does not end a lock.
func TestCurrentPINIsCheckedWithinTheGuessBudget(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, access := s.signedInCustomer()
	s.Want(s.as(access, "PUT", mine, object{"pin": goodPIN}), 200)
	s.Want(s.as(access, "PUT", mine, object{"pin": "1234", "current_pin": otherPIN}), 422) // a weak new PIN: no attempt is charged
	answers := make(chan int, 30)
	var wait sync.WaitGroup
	for i := range 30 {
		wait.Go(func() {
			method, body := "PUT", object{"pin": otherPIN, "current_pin": otherPIN}
			if i%2 == 0 {
				method, body = "DELETE", object{"current_pin": otherPIN}
			}
			a, err := s.Try(webtest.Request{Method: method, Path: mine, Header: map[string]string{"Authorization": "Bearer " + access}, Body: body})
			if err != nil {
				t.Error(err)
			}
			answers <- a.Status
		})
	}
	wait.Wait()
	close(answers)
	count := map[int]int{}
	for status := range answers {
		count[status]++
	}
	if n := s.charged(); n != 5 || count[403] > 5 || count[403]+count[409]+count[503] != 30 { // 503: shed or timed out
		t.Errorf("%d attempts were charged, answered %v", n, count)
	}
	// In sequence, each answer is known.
	s.Want(s.ask("POST", "/v1/customers/"+customer.String()+"/pin", object{"pin": goodPIN}), 200)
	for range 5 {
		s.Want(s.as(access, "PUT", mine, object{"pin": otherPIN, "current_pin": otherPIN}), 403)
	}
	var trail bool
	s.people.Get(&trail, `select exists (select from audit where action = 'pin.locked' and actor_kind = 'user' and customer_id = $1
		and actor_id = (select id from users limit 1))`, customer)
	if !trail {
		t.Error("the lock is not in the audit trail, or not with its actor")
	}
	for _, state := range []string{`select`, `update pin_holders set deactivated_by = charged, locked_until = null`} {
		s.people.Exec(state)
		for _, body := range []object{{"pin": otherPIN}, {"pin": otherPIN, "current_pin": goodPIN}} {
			s.Want(s.as(access, "PUT", mine, body), 409)
			delete(body, "pin")
			s.Want(s.as(access, "DELETE", mine, body), 409)
		}
	}
	s.Want(s.ask("POST", "/v1/customers/"+customer.String()+"/pin", object{"pin": goodPIN}), 200)
	// Setting a new PIN does not renew the budget. The right current PIN does.
	s.Want(s.as(access, "PUT", mine, object{"pin": otherPIN, "current_pin": otherPIN}), 403)
	s.Want(s.as(access, "PUT", mine, object{"pin": otherPIN}), 200)
	var spent int
	if s.people.Get(&spent, `select charged - window_start from pin_holders`); spent != 1 {
		t.Errorf("%d attempts charged after a new PIN, want 1", spent)
	}
	s.Want(s.as(access, "PUT", mine, object{"pin": goodPIN, "current_pin": otherPIN}), 200)
	if s.people.Get(&spent, `select charged - window_start from pin_holders`); spent != 0 {
		t.Errorf("%d attempts charged after the right PIN, want 0", spent)
	}
}

// A customer who changes their PIN in a loop uses all the places that one tenant of the hashing pool may have. Admins and other
// customers are other tenants.
func TestCustomerCannotStopThePINChangesOfAdmins(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, access := s.signedInCustomer()
	s.Want(s.as(access, "PUT", mine, object{"pin": goodPIN}), 200)
	var user uuid.UUID
	s.people.Get(&user, `select id from users`)
	for !s.pool.Full(user) {
		place, err := s.pool.Reserve(user)
		must(t, err)
		t.Cleanup(place.Release)
	}
	for _, body := range []object{{"pin": otherPIN}, {"pin": otherPIN, "current_pin": otherPIN}} {
		if retry := s.Want(s.as(access, "PUT", mine, body), 503).Header.Get("Retry-After"); retry == "" {
			t.Error("503 without Retry-After")
		}
	}
	if n := s.charged(); n != 0 {
		t.Errorf("%d attempts were charged by requests that were shed", n)
	}
	admin, _ := s.signIn("admin@example.com", "admin")
	s.Want(s.as(admin, "POST", "/v1/customers/"+customer.String()+"/pin", object{"pin": otherPIN}), 200)
	s.Want(s.ask("POST", "/v1/customers/"+customer.String()+"/pin", object{"pin": otherPIN}), 200)
	_, other := s.signedInCustomer()
	s.Want(s.as(other, "PUT", mine, object{"pin": goodPIN}), 200)
}

func TestChangesOfOnesOwnPINAreLimitedByUser(t *testing.T) {
	t.Parallel()
	s := newService(t, func(s *app.Settings) { s.MyPIN = 2 })
	_, access := s.signedInCustomer()
	_, other := s.signedInCustomer()
	for _, status := range []int{200, 200, 429, 429} {
		a := s.Want(s.as(access, "PUT", mine, object{"pin": goodPIN}), status)
		if limit := a.Header.Get("RateLimit-Limit"); limit != "2" || (status == 429) != (a.Header.Get("Retry-After") != "") {
			t.Errorf("limit %s, Retry-After %s", limit, a.Header.Get("Retry-After"))
		}
	}
	s.Want(s.as(access, "GET", mine, nil), 200)
	s.Want(s.as(access, "DELETE", mine, nil), 204)
	s.Want(s.as(other, "PUT", mine, object{"pin": goodPIN}), 200)
}

func TestInvalidRequestsForOnesOwnPIN(t *testing.T) {
	t.Parallel()
	s := newService(t)
	stranger, _ := s.signIn("nobody@example.com", "admin")
	s.people.Customer()
	for method, body := range map[string]object{"PUT": {"pin": goodPIN, "current_pin": goodPIN}, "DELETE": {"current_pin": goodPIN}} {
		s.Fields(s.Want(s.as(stranger, method, mine, body), 409), object{"detail": "The signed-in user is not a customer"})
		s.Want(s.ask(method, mine, object{"pin": goodPIN}), 403) // an API key is not a user
		s.Want(s.Do(webtest.Request{Method: method, Path: mine, Body: object{"pin": goodPIN}}), 401)
	}
	_, access := s.signedInCustomer()
	for body, kind := range map[string]string{
		``: "missing", `{}`: "missing", `{"pin": 8317}`: "string_type", `{"pin": "831"}`: "string_too_short", `{"pin": "8317x"}`: "string_pattern_mismatch",
		`{"pin": "1234"}`: "value_error", `{"pin": "83174629", "current_pin": null}`: "string_type", `{"pin": "83174629", "current_pin": "x"}`: "string_too_short",
	} {
		s.Fields(s.Want(s.as(access, "PUT", mine, body), 422), object{"detail.0.type": kind})
	}
	s.Want(s.as(access, "DELETE", mine, `{"current_pin": 4242}`), 422)
	s.Fields(s.Want(s.as(access, "GET", mine, nil), 200), object{"has_pin": false})
}

func TestSettingOnesOwnPINWakesLongPolls(t *testing.T) {
	t.Parallel()
	s := newService(t)
	_, access := s.signedInCustomer()
	answers := make(chan webtest.Answer)
	go func() {
		a, err := s.Try(webtest.Request{Method: "GET", Path: "/user/pin?timeout=60", Header: map[string]string{"Authorization": "Bearer " + access}})
		if err != nil {
			t.Error(err)
		}
		answers <- a
	}()
	for s.board.Waiting() == 0 {
		runtime.Gosched()
	}
	announcements := s.redis.Subscribe(t.Context(), "pin:set")
	defer announcements.Close()
	if _, err := announcements.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Want(s.as(access, "PUT", mine, object{"pin": goodPIN}), 200)
	if a := <-answers; a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if m, err := announcements.ReceiveMessage(ctx); err != nil || uuid.Validate(m.Payload) != nil {
		t.Errorf("the change was not announced to the other replicas: %v", err)
	}
}
