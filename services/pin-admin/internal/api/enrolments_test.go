package api_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/pin-admin/internal/app"
)

// enrolment issues an enrolment link for a customer and returns its token.
func (s *service) enrolment(customer uuid.UUID) string {
	s.t.Helper()
	issued := s.Want(s.ask("POST", "/v1/customers/"+customer.String()+"/pin/enrolment", nil), 201)
	text, found := strings.CutPrefix(issued.JSON("url").(string), approvalURL+"/enrol#")
	if _, err := token.Parse(token.Enrolment, text, 0); !found || err != nil {
		s.t.Fatalf("the link %v: %v", issued.JSON("url"), err)
	}
	return text
}

// follow sends a request of the page of a link: without a credential.
func (s *service) follow(path string, body any) webtest.Answer {
	s.t.Helper()
	return s.Do(webtest.Request{Method: "POST", Path: path, Body: body})
}

func (s *service) complete(token, pin string) webtest.Answer {
	s.t.Helper()
	return s.follow("/v1/enrolments/complete", object{"token": token, "pin": pin})
}

func (s *service) openEnrolment(token string) webtest.Answer {
	s.t.Helper()
	return s.follow("/v1/enrolments/open", object{"token": token})
}

func TestEnrolmentLinkSetsOnePIN(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer := s.people.Customer()
	s.people.Exec(`update customers set display_name = 'Ada' where id = $1`, customer)
	link := s.enrolment(customer)
	open := s.Want(s.openEnrolment(link), 200)
	s.Fields(open, object{"status": "open", "customer_name": "Ada"})
	var day bool
	s.people.Get(&day, `select expires_at = created_at + interval '24 hours' and expires_at = $1 from pin_enrolments`, open.JSON("expires_at"))
	if !day {
		t.Error("the link is not valid for 24 hours")
	}
	s.Fields(s.Want(s.complete(link, goodPIN), 200), object{"status": "used"})
	s.Fields(s.Want(s.openEnrolment(link), 200), object{"status": "used"})
	s.Fields(s.Want(s.complete(link, otherPIN), 409), object{"code": "enrolment_used"})
	s.Fields(s.Want(s.ask("GET", "/v1/customers/"+customer.String()+"/pin", nil), 200), object{"has_pin": true, "is_active": true})
	s.actions("enrolment.created", "enrolment.completed", "browser.known", "pin.set")
	var actors, source string
	s.people.Get(&actors, `select string_agg(concat(actor_kind, coalesce(' ' || actor_id, '')), ', ' order by id) from audit where action <> 'enrolment.created' and customer_id = $1`, customer)
	if actors != "link, link, link" {
		t.Errorf("the actors are %s, want an enrolment link without an id", actors)
	}
	s.people.Get(&source, `select source from mails where kind = 'pin_set' and customer_id = $1`, customer)
	if source != "an enrolment link" {
		t.Errorf("the mail names %s", source)
	}
	if strings.Contains(s.people.Dump(), link) {
		t.Error("the token is stored")
	}
	s.NeverLogged(link)
}

// A link is an admin's act: it sets a PIN that is locked, deactivated, or needs a verified identity. Until it is completed, a lock stays.
func TestEnrolmentLiftsALockOnlyWhenItIsCompleted(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, instance := s.people.Customer(), s.people.Instance()
	s.people.Identity(customer, instance)
	s.people.Exec(`update instances set kyc_required = true`)
	path := "/v1/customers/" + customer.String() + "/pin"
	s.Want(s.ask("POST", path, object{"pin": otherPIN}), 200)
	s.people.Exec(`update pin_holders set charged = 7, window_start = 5, locks = 1, locked_by = 5, locked_until = now() + interval '1 hour'`)
	link := s.enrolment(customer)
	s.Want(s.openEnrolment(link), 200)
	s.Want(s.complete(link, "1234"), 422)
	s.Fields(s.Want(s.ask("GET", path, nil), 200), object{"is_locked": true})
	s.Want(s.complete(link, goodPIN), 200)
	var renewed bool
	s.people.Get(&renewed, `select locked_until is null and locks = 0 and forgiven = 7 and window_start = 7 from pin_holders`)
	if !renewed {
		t.Error("the budget is not renewed")
	}
	s.people.Exec(`update pin_holders set deactivated_by = 7`)
	s.Want(s.complete(s.enrolment(customer), otherPIN), 200)
	s.Fields(s.Want(s.ask("GET", path, nil), 200), object{"is_active": true})
}

func TestRefusedPINDoesNotUseTheEnrolmentLink(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer := s.people.Customer()
	link := s.enrolment(customer)
	for body, kind := range map[string]string{
		`{"token": %q, "pin": "1234"}`: "value_error", `{"token": %q, "pin": "123"}`: "string_too_short", `{"token": %q, "pin": "1234567890123"}`: "string_too_long",
		`{"token": %q, "pin": "83174x"}`: "string_pattern_mismatch", `{"token": %q, "pin": 83174629}`: "string_type", `{"token": %q}`: "missing", `{"token": %q, "pin": null}`: "string_type",
		`{"token": %q, "pin": "83174629", "customer_id": "x"}`: "extra_forbidden", `{"token": %q, "pin": "83174629"`: "json_invalid",
	} {
		s.Fields(s.Want(s.follow("/v1/enrolments/complete", fmt.Sprintf(body, link)), 422), object{"detail.0.type": kind})
	}
	s.Want(s.follow("/v1/enrolments/complete", object{"token": link, "pin": goodPIN, "padding": strings.Repeat("x", 20<<10)}), 413)
	for !s.pool.Full(customer) {
		place, err := s.pool.Reserve(customer)
		must(t, err)
		t.Cleanup(place.Release)
	}
	s.Fields(s.Want(s.complete(link, goodPIN), 503), object{"code": "overloaded"})
	s.Fields(s.Want(s.openEnrolment(link), 200), object{"status": "open"})
	s.actions("enrolment.created")
}

func TestEnrolmentLinkIsUsableAfterARefusedPIN(t *testing.T) {
	t.Parallel()
	s := newService(t)
	link := s.enrolment(s.people.Customer())
	s.Fields(s.Want(s.complete(link, "7777"), 422), object{"detail.0.msg": "Value error, The PIN is too easy to guess"})
	s.Want(s.complete(link, goodPIN), 200)
}

func TestExpiredReplacedAndUnknownEnrolmentLinks(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer := s.people.Customer()
	first := s.enrolment(customer)
	second := s.enrolment(customer)
	for name, link := range map[string]string{
		"replaced": first, "unknown": token.New(token.Enrolment).Reveal(), "of another kind": token.New(token.Approval).Reveal(), "mistyped": mistype(second),
		"empty": "", "in upper case": strings.ToUpper(second), "with a space": second + " ", "huge": "cen_" + strings.Repeat("0", 10<<10),
	} {
		for _, a := range []webtest.Answer{s.openEnrolment(link), s.complete(link, goodPIN)} {
			if a.Status != 404 || a.Header.Get("X-Error-Code") != "enrolment_link_unknown" {
				t.Errorf("%s: %d %s", name, a.Status, a.Body)
			}
		}
	}
	s.people.Exec(`update pin_enrolments set expires_at = now()`)
	s.Fields(s.Want(s.openEnrolment(second), 200), object{"status": "expired"})
	s.Fields(s.Want(s.complete(second, goodPIN), 409), object{"code": "enrolment_expired"})
	s.Fields(s.Want(s.ask("GET", "/v1/customers/"+customer.String()+"/pin", nil), 200), object{"has_pin": false})

	third := s.enrolment(customer)
	s.Want(s.complete(third, goodPIN), 200)
	s.enrolment(customer) // a new link does not make a used link open again
	s.Want(s.complete(third, otherPIN), 404)

	other := s.people.Customer()
	fourth := s.enrolment(other)
	s.Want(s.ask("DELETE", "/v1/customers/"+other.String(), nil), 204)
	s.Want(s.openEnrolment(fourth), 404)
	s.Want(s.complete(fourth, goodPIN), 404)
	s.Want(s.ask("POST", "/v1/customers/"+other.String()+"/pin/enrolment", nil), 404)
	s.Want(s.ask("POST", "/v1/customers/"+uuid.NewString()+"/pin/enrolment", nil), 404)
}

// A link sets the PIN of its own customer only, also for a signed-in admin or another customer.
func TestEnrolmentLinkSetsThePINOfItsCustomer(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, access := s.signedInCustomer()
	owner := s.people.Customer()
	link := s.enrolment(owner)
	s.Want(s.Do(webtest.Request{Method: "POST", Path: "/v1/enrolments/complete", Body: object{"token": link, "pin": goodPIN}, Header: map[string]string{"Authorization": "Bearer " + access}}), 200)
	s.Fields(s.Want(s.ask("GET", "/v1/customers/"+owner.String()+"/pin", nil), 200), object{"has_pin": true})
	s.Fields(s.Want(s.ask("GET", "/v1/customers/"+customer.String()+"/pin", nil), 200), object{"has_pin": false})
	var strangers int
	if s.people.Get(&strangers, `select count(*) from audit where action = 'pin.set' and actor_kind <> 'link'`); strangers != 0 {
		t.Error("the audit trail names the signed-in user instead of the link")
	}
}

// Of 30 parallel requests with different PINs, one sets its PIN.
func TestParallelEnrolmentsSetOnePIN(t *testing.T) {
	t.Parallel()
	s := newService(t)
	link := s.enrolment(s.people.Customer())
	var set, refused, shed atomic.Int32
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			a, err := s.Try(webtest.Request{Method: "POST", Path: "/v1/enrolments/complete", Body: object{"token": link, "pin": fmt.Sprintf("83174629%03d", 105+7*i)}})
			switch {
			case err == nil && a.Status == 200:
				set.Add(1)
			case err == nil && a.Status == 409 && a.JSON("code") == "enrolment_used":
				refused.Add(1)
			case err == nil && a.Status == 503:
				shed.Add(1)
			default:
				t.Errorf("%d %v %s", a.Status, err, a.Body)
			}
		})
	}
	wg.Wait()
	if set.Load() != 1 || refused.Load()+shed.Load() != 29 {
		t.Errorf("%d set a PIN, %d were refused, %d were shed", set.Load(), refused.Load(), shed.Load())
	}
	s.actions("enrolment.created", "enrolment.completed", "browser.known", "pin.set")
}

// While a link is completed, an admin replaces it. The PIN is set through the old link, or the old link is unknown; never both links.
func TestEnrolmentLinkReplacedDuringItsUse(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer := s.people.Customer()
	link := s.enrolment(customer)
	tx := s.people.Begin()
	_, err := tx.Exec(`update pin_enrolments set token_hash = $1, used_at = null`, token.New(token.Enrolment).Hash())
	must(t, err)
	done := make(chan webtest.Answer, 1)
	go func() {
		a, _ := s.Try(webtest.Request{Method: "POST", Path: "/v1/enrolments/complete", Body: object{"token": link, "pin": goodPIN}})
		done <- a
	}()
	s.people.AwaitLocks(1)
	must(t, tx.Commit())
	if a := <-done; a.Status != 404 {
		t.Errorf("the replaced link: %d %s", a.Status, a.Body)
	}
	s.Fields(s.Want(s.ask("GET", "/v1/customers/"+customer.String()+"/pin", nil), 200), object{"has_pin": false})
}

func TestEnrolmentAnswersALongPollForAPIN(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, access := s.signedInCustomer()
	link := s.enrolment(customer)
	done := make(chan webtest.Answer, 1)
	go func() {
		a, _ := s.Try(webtest.Request{Method: "GET", Path: "/user/pin?timeout=60", Header: map[string]string{"Authorization": "Bearer " + access}})
		done <- a
	}()
	s.Want(s.complete(link, goodPIN), 200)
	if a := <-done; a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestRateOfLinks(t *testing.T) {
	t.Parallel()
	s := newServiceOn(t, storetest.OwnRedis(t).URL, func(settings *app.Settings) { settings.Approvals = 2 })
	link := s.enrolment(s.people.Customer())
	for range 2 {
		s.Want(s.openEnrolment(link), 200)
	}
	s.Want(s.openEnrolment(link), 429)
	s.Want(s.complete(link, goodPIN), 200) // a limit of its own
}

// The browser in which the person completes the link is known for the PIN, and shows the phrase that the person chose there.
func TestEnrolmentMakesTheBrowserKnown(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer := s.people.Customer()
	link := s.enrolment(customer)
	for _, phrase := range []any{"", strings.Repeat("x", 101), 7, " a", "a\u202eb"} {
		s.Want(s.follow("/v1/enrolments/complete", object{"token": link, "pin": goodPIN, "phrase": phrase}), 422)
		s.Want(s.ask("PUT", "/v1/customers/"+customer.String()+"/phrase", object{"phrase": phrase}), 422)
	}
	done := s.Want(s.follow("/v1/enrolments/complete", object{"token": link, "pin": goodPIN, "phrase": "seven blue elephants"}), 200)
	name, rest, _ := strings.Cut(done.Header.Get("Set-Cookie"), "=")
	cookie, attributes, _ := strings.Cut(rest, ";")
	if _, err := token.Parse(token.Browser, cookie, 0); name != "__Host-countersign-browser" || err != nil || attributes != " Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Strict" {
		t.Errorf("the cookie %s has the attributes%s: %v", name, attributes, err)
	}
	s.actions("enrolment.created", "enrolment.completed", "browser.known", "phrase.set", "pin.set")
	var known bool
	s.people.Get(&known, `select b.generation = h.generation from known_browsers b join pin_holders h using (holder_id) where h.holder_id = $1`, customer)
	if !known {
		t.Error("the browser is not known for the new PIN")
	}
	if dump := s.people.Dump(); strings.Contains(dump, cookie) || strings.Contains(dump, "elephants") {
		t.Error("the cookie or the phrase is stored as plain text")
	}
	s.NeverLogged(cookie, "elephants")

	// A browser that is known keeps its cookie, for the PIN of another customer too.
	other := s.enrolment(s.people.Customer())
	again := s.Want(s.Do(webtest.Request{Method: "POST", Path: "/v1/enrolments/complete", Body: object{"token": other, "pin": otherPIN}, Header: map[string]string{"Cookie": name + "=" + cookie}}), 200)
	if !strings.HasPrefix(again.Header.Get("Set-Cookie"), name+"="+cookie+";") {
		t.Error("the known browser got another cookie")
	}
	// A set from elsewhere ends it. A completion that is refused makes no browser known.
	s.Want(s.ask("POST", "/v1/customers/"+customer.String()+"/pin", object{"pin": otherPIN}), 200)
	if refused := s.Want(s.complete(link, goodPIN), 409); refused.Header.Get("Set-Cookie") != "" {
		t.Error("a refused completion set a cookie")
	}
	s.people.Get(&known, `select b.generation = h.generation from known_browsers b join pin_holders h using (holder_id) where h.holder_id = $1`, customer)
	if known {
		t.Error("the browser is known although the PIN was set elsewhere")
	}
}
