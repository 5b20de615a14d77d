package api_test

import (
	"crypto/rand"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/pin-admin/internal/app"
)

const (
	wrongPIN = "50413928"
	// canaryPhrase must not occur outside of the answer to a known browser.
	canaryPhrase = "Blaue Möwe über dem Deich"
)

// asked is a customer with a PIN whom an agent asked for an approval.
type asked struct {
	*service
	instance, customer, identity, id uuid.UUID
	link                             string
}

func newAsked(t testing.TB, change ...func(*app.Settings)) *asked {
	t.Helper()
	return askedOn(newService(t, change...))
}

func askedOn(s *service) *asked {
	s.t.Helper()
	a := &asked{service: s, customer: s.people.Customer(), instance: s.people.Instance()}
	a.identity = s.people.Identity(a.customer, a.instance)
	s.people.Exec(`update customers set display_name = 'Alice' where id = $1`, a.customer)
	s.people.Exec(`update instances set name = 'Shop' where id = $1`, a.instance)
	s.Want(s.ask("POST", "/v1/customers/"+a.customer.String()+"/pin", object{"pin": goodPIN}), 200)
	a.again()
	return a
}

// again asks for another approval, and makes it the present one.
func (a *asked) again() {
	a.t.Helper()
	link, hash := token.New(token.Approval), make([]byte, 32)
	rand.Read(hash)
	a.id, a.link = uuid.New(), link.Reveal()
	a.people.Exec(`insert into approvals (id, instance_id, customer_id, proxy_key_id, requester, kind, skill, audience, arguments, title, template, note,
		action_hash, nonce, key_id, link_hash, expires_at)
		values ($1, $2, $3, $1, 'support bot', 'action', 'pay.transfer', 'bank', '{"amount":"25.00 EUR","to":"Bob\u202egnp"}', 'Pay', 'Pay {amount} to {to}',
		'You asked me to', $4, $4, 'one', $5, now() + interval '10 minutes')`, a.id, a.instance, a.customer, hash, link.Hash())
	a.t.Cleanup(func() { a.NeverLogged(link.Reveal()) })
}

// open opens the link, in a browser with this cookie (empty: none).
func (a *asked) open(cookie string) webtest.Answer {
	a.t.Helper()
	return a.Do(webtest.Request{Method: "POST", Path: "/v1/approvals/open", Header: browser(cookie), Body: object{"token": a.link}})
}

func browser(cookie string) map[string]string {
	if cookie == "" {
		return nil
	}
	return map[string]string{"Cookie": "__Host-countersign-browser=" + cookie}
}

// viewHash is the hash of what the link shows now.
func (a *asked) viewHash() string {
	a.t.Helper()
	return a.Want(a.open(""), 200).JSON("view_hash").(string)
}

func (a *asked) request(cookie, viewHash, decision, pin string) webtest.Request {
	body := object{"token": a.link, "view_hash": viewHash, "decision": decision}
	if pin != "" {
		body["pin"] = pin
	}
	return webtest.Request{Method: "POST", Path: "/v1/approvals/decide", Header: browser(cookie), Body: body}
}

// decide decides about what the link shows now. Without a PIN it denies.
func (a *asked) decide(pin string) webtest.Answer {
	a.t.Helper()
	decision := "approve"
	if pin == "" {
		decision = "deny"
	}
	return a.Do(a.request("", a.viewHash(), decision, pin))
}

// wantDecision checks the fields of a decision. remaining is the number of attempts (-1: null).
func (a *asked) wantDecision(got webtest.Answer, status, reason, pinError string, remaining, tries int) {
	a.t.Helper()
	text := func(field string) string { s, _ := got.JSON(field).(string); return s }
	left := -1
	if n, ok := got.JSON("remaining_attempts").(float64); ok {
		left = int(n)
	}
	if got.Status != 200 || text("status") != status || text("reason") != reason || text("error") != pinError || left != remaining || got.JSON("remaining_tries") != float64(tries) {
		a.t.Errorf("%d %s", got.Status, got.Body)
	}
}

// refused checks that an answer is an error with this code.
func (a *asked) refused(got webtest.Answer, status int, code string) {
	a.t.Helper()
	if got.Status != status || got.Header.Get("X-Error-Code") != code || status == 409 && got.JSON("code") != code {
		a.t.Errorf("%d %s %s, want %d %s", got.Status, got.Header.Get("X-Error-Code"), got.Body, status, code)
	}
}

// charged returns how many attempts were charged, and how many tries of all links were taken.
func (a *asked) charged() (attempts, tries int) {
	a.t.Helper()
	a.people.Get(&attempts, `select coalesce(sum(charged), 0) from pin_holders`)
	a.people.Get(&tries, `select coalesce(sum(tries), 0) from approvals`)
	return attempts, tries
}

func (a *asked) wantCharged(want int) {
	a.t.Helper()
	if attempts, tries := a.charged(); attempts != want || tries != want {
		a.t.Errorf("%d attempts charged and %d tries taken, want %d", attempts, tries, want)
	}
}

func (a *asked) status() (status string) {
	a.t.Helper()
	a.people.Get(&status, `select status from approvals where id = $1`, a.id)
	return status
}

// setCookie returns the cookie that an answer sets, and checks its attributes.
func (a *asked) setCookie(got webtest.Answer) string {
	a.t.Helper()
	cookies := (&http.Response{Header: got.Header}).Cookies()
	if len(cookies) != 1 {
		a.t.Fatalf("the answer sets %d cookies", len(cookies))
	}
	c := cookies[0]
	if c.Name != "__Host-countersign-browser" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 400*24*3600 {
		a.t.Errorf("the cookie is %+v", c)
	}
	a.t.Cleanup(func() { a.NeverLogged(c.Value) })
	return c.Value
}

// mistype changes one character of a token.
func mistype(text string) string {
	other := "0"
	if text[10] == '0' {
		other = "1"
	}
	return text[:10] + other + text[11:]
}
