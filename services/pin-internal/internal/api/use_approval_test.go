package api_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/client/receipt"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
)

// approvedAction asks for an approval of the skill Pay and approves it, as pin-admin does. It returns the approval's id.
func (s *service) approvedAction() string {
	s.t.Helper()
	return s.approve(s.asked(object{"skill": "Pay", "arguments": s.payment(), "audience": "bank"}))
}

// payment returns new arguments, because the same request would get the approval that is pending.
func (s *service) payment() object { return object{"amount": 12.5, "to": uuid.NewString()} }

// approvedSession does the same for a skill that needs a session.
func (s *service) approvedSession() string {
	s.t.Helper()
	s.people.Exec(`update instances set pin_required_skills = '{mail.*}'`)
	return s.approve(s.asked(object{"skill": "mail.send"}))
}

func (s *service) approve(id string) string {
	s.people.Exec(`update approvals a set status = 'approved', decided_at = now(), expires_at = now() + interval '2 minutes', tries = 1,
		holder_id = h.holder_id, session_generation = h.session_generation from pin_holders h where h.holder_id = $2 and a.id = $1`, id, s.identity)
	return id
}

func newUseID() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }

func (s *service) use(id, useID string, arguments ...any) webtest.Answer {
	s.t.Helper()
	a, err := s.tryUse(id, useID, arguments...)
	must(s.t, err)
	return a
}

func (s *service) tryUse(id, useID string, arguments ...any) (webtest.Answer, error) {
	body := object{"use_id": useID}
	if len(arguments) > 0 {
		body["arguments"] = arguments[0]
	}
	return s.Try(webtest.Request{Method: "POST", Path: s.at("/approvals/" + id + "/use"), Header: s.bearer(), Body: body})
}

// refuses checks that a use is answered with this status and code, in the body and in the header.
func (s *service) refuses(name string, a webtest.Answer, status int, code string) {
	s.t.Helper()
	if a.Status != status || a.Header.Get("X-Error-Code") != code || status == 409 && a.JSON("code") != code {
		s.t.Errorf("%s: %d %s %s, want %d %s", name, a.Status, a.Header.Get("X-Error-Code"), a.Body, status, code)
	}
}

// receiptOf checks a receipt with the published keys.
func (s *service) receiptOf(a webtest.Answer) (claims receipt.Claims) {
	s.t.Helper()
	text, _ := a.JSON("receipt").(string)
	_, err := jwt.ParseWithClaims(text, &claims, func(t *jwt.Token) (any, error) {
		var key []byte
		s.people.Get(&key, `select public_key from receipt_keys where id::text = $1`, t.Header["kid"])
		if t.Header["typ"] != receipt.Type {
			return nil, errors.New("another type")
		}
		return ed25519.PublicKey(key), nil
	}, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(approvalURL))
	must(s.t, err)
	return claims
}

func TestUseAnswersWithAReceipt(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	arguments := object{"to": "Ann Lovelace", "amount": 12.5}
	asked := s.Want(s.ask(object{"arguments": arguments, "audience": "bank"}), 201)
	id, _ := asked.JSON("id").(string)
	first := newUseID()
	s.refuses("before the approval", s.use(id, first), 409, "approval_pending")
	s.Want(s.use(s.approvedAction(), newUseID()), 200) // makes the receipt key
	s.people.Exec(`delete from approvals where id <> $1`, id)
	s.people.Exec(`delete from audit where target_id <> $1`, id)
	s.approve(id)
	s.refuses("other arguments", s.use(id, first, object{"to": "Ann Lovelace", "amount": 12.6}), 409, "action_mismatch")
	s.refuses("no arguments", s.use(id, first, object{}), 409, "action_mismatch")
	a := s.Want(s.use(id, first, json.RawMessage(`{"amount":1.25e1,"to":"\u0041nn Lovelace"}`)), 200)
	var fields map[string]any
	must(t, json.Unmarshal([]byte(a.Body), &fields))
	if len(fields) != 3 || fields["action_hash"] != asked.JSON("action_hash") || fields["used_at"] == nil {
		t.Errorf("answered %s", a.Body)
	}
	claims := s.receiptOf(a)
	if claims.ID != id || claims.Subject != s.customer.String() || claims.Audience != "bank" || claims.ExpiresAt-claims.IssuedAt != 120 ||
		claims.Approved.ActionHash != asked.JSON("action_hash") || claims.Approved.Skill != "Pay" || claims.Approved.Instance != s.instance.String() {
		t.Errorf("the claims are %+v", claims)
	}
	for range 3 {
		if again := s.Want(s.use(id, first, arguments), 200); again.Body != a.Body {
			t.Errorf("the same use_id: %s, want %s", again.Body, a.Body)
		}
	}
	s.refuses("another use_id", s.use(id, newUseID()), 409, "approval_used")
	s.refuses("other arguments after the use", s.use(id, first, object{"to": "Bob"}), 409, "action_mismatch")
	s.refuses("cancel after the use", s.cancel(id), 409, "approval_used")
	s.Fields(s.Want(s.read(id, ""), 200), object{"status": "used", "url": nil, "reason": nil})
	s.wantTrail("approval.asked", "approval.used")
	s.NeverLogged("Lovelace", a.JSON("receipt").(string), first)
	if stored := s.people.Dump(); strings.Contains(stored, first) || strings.Contains(stored, a.JSON("receipt").(string)) {
		t.Error("the use_id or the receipt is stored")
	}
}

func TestReceiptWithoutAnAudienceHasNoAudience(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	text, _ := s.Want(s.use(s.approve(s.asked()), newUseID()), 200).JSON("receipt").(string)
	claims := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(text, claims)
	must(t, err)
	if aud, found := claims["aud"]; found {
		t.Errorf("aud is %v", aud)
	}
}

func TestParallelUses(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	for _, same := range []bool{false, true} {
		id, one := s.approvedAction(), newUseID()
		var mu sync.Mutex
		answers, used := map[string]int{}, 0
		var running sync.WaitGroup
		for range 100 {
			running.Go(func() {
				mine := one
				if !same {
					mine = newUseID()
				}
				a, err := s.tryUse(id, mine)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case a.Status == 200:
					answers[a.Body]++
				case a.Status == 409 && a.JSON("code") == "approval_used":
					used++
				default:
					t.Errorf("%d %s", a.Status, a.Body)
				}
			})
		}
		running.Wait()
		total := 0
		for _, n := range answers {
			total += n
		}
		if len(answers) != 1 || same && total != 100 || !same && (total != 1 || used != 99) {
			t.Errorf("same use_id %t: %d answers 200 (%d different), %d answers approval_used", same, total, len(answers), used)
		}
	}
}

func TestUseIsRefusedWithACode(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	for _, rule := range []struct {
		name, before string
		status       int
		code         string
	}{
		{"denied", `update approvals set status = 'denied', reason = 'person' where id = $1`, 409, "approval_denied"},
		{"cancelled", `update approvals set status = 'cancelled' where id = $1`, 409, "approval_cancelled"},
		{"2 minutes later", `update approvals set expires_at = expires_at - interval '2 minutes' where id = $1`, 409, "approval_expired"},
		{"PIN changed", `update pin_holders set session_generation = gen_random_uuid() where $1 <> ''`, 409, "pin_changed"},
		{"gone", `delete from approvals where id = $1`, 404, "approval_not_found"},
	} {
		id := s.approvedAction()
		s.people.Exec(rule.before, id)
		s.refuses(rule.name, s.use(id, newUseID()), rule.status, rule.code)
	}
	id := s.approvedAction()
	s.refuses("unknown approval", s.use(uuid.NewString(), newUseID()), 404, "approval_not_found")
	home, key := s.instance, s.key
	s.instance = s.people.Instance()
	s.refuses("the key of another instance", s.use(id, newUseID()), 404, "instance_not_found")
	s.key = s.people.ProxyKey(s.instance)
	s.refuses("the approval of another instance", s.use(id, newUseID()), 404, "approval_not_found")
	s.instance, s.key = home, key
	for _, body := range []any{
		nil, object{}, object{"use_id": nil}, object{"use_id": ""}, object{"use_id": strings.Repeat("a", 21)}, object{"use_id": strings.Repeat("a", 65)},
		object{"use_id": strings.Repeat("é", 22)}, object{"use_id": 12345678901234567890.0}, object{"use_id": newUseID(), "arguments": nil},
		object{"use_id": newUseID(), "arguments": []any{}}, object{"use_id": newUseID(), "arguments": "{}"}, object{"use_id": newUseID(), "x": 1},
		json.RawMessage(`{"use_id":"` + newUseID() + `","arguments":{"a":1,"a":2}}`), json.RawMessage(`{"use_id":"` + newUseID() + `","arguments":{"a":9007199254740993}}`),
	} {
		if a := s.post("/approvals/"+id+"/use", body); a.Status != 422 {
			t.Errorf("%v: %d %s", body, a.Status, a.Body)
		}
	}
	s.Want(s.post("/approvals/nonsense/use", object{"use_id": newUseID()}), 422)
	s.Want(s.use(id, newUseID(), object{"text": strings.Repeat("a", 128<<10)}), 413)
	a := s.use(id, newUseID(), object{"text": strings.Repeat("a", 16384)})
	s.Fields(s.Want(a, 422), object{"detail.0.loc.1": "arguments"})
	s.Want(s.use(id, newUseID()), 200)
}

// The PIN is changed, locked, removed or replaced in the ways in which people and agents do it.
func TestUseAfterAChangeOfThePIN(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *service){
		"changed": func(s *service) {
			s.Want(s.post(s.identityPath(), object{"pin": other, "current_pin": right}), 200)
		},
		"set to the same PIN": func(s *service) { s.setPIN() },
		"locked": func(s *service) {
			for range 5 {
				s.verify(wrong)
			}
		},
		"removed": func(s *service) {
			s.Want(s.Do(webtest.Request{Method: "DELETE", Path: s.at(s.identityPath()), Header: s.bearer(), Body: object{}}), 204)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newPayingService(t)
			action, session := s.approvedAction(), s.approvedSession()
			change(s)
			s.refuses(name, s.use(action, newUseID()), 409, "pin_changed")
			s.refuses(name, s.use(session, newUseID()), 409, "pin_changed")
			s.Fields(s.Want(s.read(action, ""), 200), object{"status": "expired", "reason": "pin_changed"})
		})
	}
}

// An identity that gets its own PIN needs that PIN from then on, so an approval with the customer's PIN is invalid.
func TestUseAfterTheIdentityGotItsOwnPIN(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.register("Pay", "approval", "", "")
	s.setCustomerPIN()
	id := s.asked()
	s.people.Exec(`update approvals a set status = 'approved', decided_at = now(), holder_id = h.holder_id, session_generation = h.session_generation
		from pin_holders h where a.id = $1`, id)
	s.people.Exec(`update pin_holders set verifier = 'x'`)
	s.setPIN()
	s.refuses("own PIN", s.use(id, newUseID()), 409, "pin_changed")
}

func TestUseAnswersWithASession(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	s.people.Exec(`update instances set pin_session_ttl_minutes = 5`)
	id, first := s.approvedSession(), newUseID()
	a := s.Want(s.use(id, first), 200)
	var fields map[string]any
	must(t, json.Unmarshal([]byte(a.Body), &fields))
	token, _ := fields["session_token"].(string)
	if len(fields) != 2 || !strings.HasPrefix(token, "cst_") {
		t.Errorf("answered %s", a.Body)
	}
	active := func(want bool) {
		t.Helper()
		body := s.Want(s.post("/pin/sessions/introspect", object{"session_token": token}), 200)
		if body.JSON("active") != want || want && body.JSON("expires_at") != fields["session_expires_at"] {
			t.Errorf("active %t: %s", want, body.Body)
		}
	}
	active(true)
	s.Fields(s.check(token, "mail.send"), object{"required": false, "reason": "session_active"})
	s.people.Exec(`update instances set pin_session_ttl_minutes = 20`)
	parsed, err := session.Parse(token)
	must(t, err)
	must(t, s.app.API.Sessions.Store.Delete(t.Context(), parsed)) // Redis lost it
	active(false)
	if again := s.Want(s.use(id, first), 200); again.Body != a.Body {
		t.Errorf("the same use_id: %s, want %s", again.Body, a.Body)
	}
	active(true)
	s.refuses("another use_id", s.use(id, newUseID()), 409, "approval_used")
	s.NeverLogged(token)
	if strings.Contains(s.people.Dump(), token) {
		t.Error("the session's token is stored")
	}
	s.revoke(token)
	active(false)
	s.refuses("after the revocation", s.use(id, first), 409, "session_ended")
	active(false)

	id, first = s.approvedSession(), newUseID()
	s.Want(s.use(id, first), 200)
	s.people.Exec(`update approvals set used_at = used_at - interval '20 minutes'`)
	s.refuses("after its time", s.use(id, first), 409, "session_ended")
	id, first = s.approvedSession(), newUseID()
	s.Want(s.use(id, first), 200)
	s.setPIN()
	s.refuses("after a change of the PIN", s.use(id, first), 409, "session_ended")
}

func TestUseOfASessionWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	s := newServiceOn(t, server.URL)
	s.setPIN()
	s.register("Pay", "approval", "", "")
	action, session, first := s.approvedAction(), s.approvedSession(), newUseID()
	server.Stop() // its data is lost too
	s.Want(s.use(action, newUseID()), 200)
	s.refuses("while Redis is down", s.use(session, first), 503, "sessions_away")
	s.refuses("another use_id while Redis is down", s.use(session, newUseID()), 409, "approval_used")
	server.Start()
	var a webtest.Answer
	for end := time.Now().Add(30 * time.Second); ; {
		if a = s.use(session, first); a.Status == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after Redis came back: %d %s", a.Status, a.Body)
		}
	}
	s.Fields(s.post("/pin/sessions/introspect", object{"session_token": a.JSON("session_token")}), object{"active": true})
	s.wantTrail("approval.asked", "approval.asked", "approval.used", "approval.used")
}

// Postgres ends the connection during the burn, so nobody knows whether it was committed. The same use_id finds out.
func TestUseWhoseConnectionIsLost(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	s.Want(s.use(s.approvedAction(), newUseID()), 200)
	s.people.Exec(`create function lose() returns trigger language plpgsql security definer as $$ begin
		if new.status = 'used' then perform pg_terminate_backend(pg_backend_pid()); end if; return new; end $$`)
	id, first := s.approvedAction(), newUseID()
	s.people.Exec(`create trigger lose before update on approvals for each row execute function lose()`)
	a := s.use(id, first)
	s.refuses("lost", a, 503, "use_unknown")
	if a.Header.Get("Retry-After") != "1" || a.JSON("code") != "use_unknown" {
		t.Errorf("answered %s", a.Body)
	}
	s.people.Exec(`drop trigger lose on approvals`)
	answer := s.Want(s.use(id, first), 200)
	s.people.Exec(`do $$ begin perform pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid(); end $$`)
	again := s.use(id, first)
	for end := time.Now().Add(30 * time.Second); again.Status == 503 && time.Now().Before(end); { // each connection of the pool has ended
		again = s.use(id, first)
	}
	if again.Body != answer.Body {
		t.Errorf("another answer after all connections ended: %d %s", again.Status, again.Body)
	}
	other := s.use(id, newUseID())
	for end := time.Now().Add(30 * time.Second); other.Status == 503 && time.Now().Before(end); {
		other = s.use(id, newUseID())
	}
	s.refuses("another use_id", other, 409, "approval_used")
}

// The receipt's times are Postgres's, whatever the clock of the replica says: a clock that is a day wrong moves nothing.
func TestReceiptHasTheTimesOfPostgres(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	id := s.approvedAction()
	// now() of the statements cannot be moved, so the rows move: the person has approved a day ago, by a clock that was wrong then.
	s.people.Exec(`update approvals set decided_at = decided_at - interval '1 day', created_at = created_at - interval '1 day'`)
	claims := s.receiptOf(s.Want(s.use(id, newUseID()), 200))
	var used, decided int64
	s.people.Get(&used, `select floor(extract(epoch from used_at))::bigint from approvals`)
	s.people.Get(&decided, `select floor(extract(epoch from decided_at))::bigint from approvals`)
	if claims.IssuedAt != used || claims.ExpiresAt != used+120 || claims.Approved.ApprovedAt != decided {
		t.Errorf("the claims are %+v, want used %d, approved %d", claims, used, decided)
	}
}

func TestReceiptOfARevokedKeyIsGone(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	id, first := s.approvedAction(), newUseID()
	a := s.Want(s.use(id, first), 200)
	s.people.Exec(`update receipt_keys set retired_at = now()`)
	if again := s.Want(s.use(id, first), 200); again.Body != a.Body {
		t.Error("another answer after the key was retired")
	}
	s.receiptOf(s.Want(s.use(s.approvedAction(), newUseID()), 200))
	s.people.Exec(`delete from receipt_keys`)
	s.refuses("after a revocation", s.use(id, first), 409, "receipt_gone")
	s.receiptOf(s.Want(s.use(s.approvedAction(), newUseID()), 200))
}
