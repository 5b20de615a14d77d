package api_test

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/pin-admin/internal/app"
)

func TestKnownBrowserShowsThePhrase(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	a.Want(a.ask("PUT", "/v1/customers/"+a.customer.String()+"/phrase", object{"phrase": canaryPhrase}), 204)
	t.Cleanup(func() { a.NeverLogged(canaryPhrase) })
	cookie := a.setCookie(a.Want(a.decide(goodPIN), 200))
	for name, c := range map[string]struct {
		cookie string
		known  bool
	}{
		"the browser": {cookie, true}, "no cookie": {"", false}, "another browser": {token.New(token.Browser).Reveal(), false}, "a mistyped cookie": {mistype(cookie), false},
		"two cookies": {"x; __Host-countersign-browser=" + cookie, true},
	} {
		got := a.Want(a.open(c.cookie), 200)
		phrase, _ := got.JSON("phrase").(string)
		if got.JSON("known_browser") != c.known || (phrase == canaryPhrase) != c.known || strings.Contains(got.Body, "Deich") != c.known {
			t.Errorf("%s: %s", name, got.Body)
		}
	}
	if dump := a.people.Dump(); strings.Contains(dump, cookie) || strings.Contains(dump, "Deich") {
		t.Error("the database contains the cookie or the phrase")
	}
	// The phrase of a customer without one.
	a.Want(a.ask("DELETE", "/v1/customers/"+a.customer.String()+"/phrase", nil), 204)
	if got := a.Want(a.open(cookie), 200); got.JSON("known_browser") != true || got.JSON("phrase") != nil {
		t.Errorf("%s", got.Body)
	}
	// A set from elsewhere ends all known browsers, also a set of the same PIN.
	a.Want(a.ask("POST", "/v1/customers/"+a.customer.String()+"/pin", object{"pin": goodPIN}), 200)
	if got := a.Want(a.open(cookie), 200); got.JSON("known_browser") != false {
		t.Errorf("after a set: %s", got.Body)
	}
}

// TestPINOfAnIdentityShowsNoPhrase: an agent can set the PIN of an identity, and then approve with it. It must not learn the
// phrase that the customer chose.
func TestPINOfAnIdentityShowsNoPhrase(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	t.Cleanup(func() { a.NeverLogged(canaryPhrase) })
	customer := "/v1/customers/" + a.customer.String()
	a.Want(a.ask("PUT", customer+"/phrase", object{"phrase": canaryPhrase}), 204)
	a.Want(a.ask("POST", customer+"/identities/"+a.identity.String()+"/pin", object{"pin": otherPIN}), 200)
	a.people.Exec(`update approvals set identity_id = $1`, a.identity)
	cookie := a.setCookie(a.Want(a.decide(otherPIN), 200))
	if got := a.Want(a.open(cookie), 200); got.JSON("known_browser") != true || got.JSON("phrase") != nil || strings.Contains(got.Body, "Deich") {
		t.Errorf("with the identity's PIN: %s", got.Body)
	}
	a.again() // this approval asks for the customer's PIN
	if got := a.Want(a.open(cookie), 200); got.JSON("known_browser") != false || got.JSON("phrase") != nil {
		t.Errorf("before the customer's PIN was given: %s", got.Body)
	}
	a.Want(a.Do(a.request(cookie, a.viewHash(), "approve", goodPIN)), 200)
	if got := a.Want(a.open(cookie), 200); got.JSON("phrase") != canaryPhrase {
		t.Errorf("after the customer's PIN was given: %s", got.Body)
	}
}

func TestKnownBrowserKeepsItsCookie(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	first := a.setCookie(a.Want(a.decide(goodPIN), 200))
	a.again()
	if second := a.setCookie(a.Want(a.Do(a.request(first, a.viewHash(), "approve", goodPIN)), 200)); second != first {
		t.Error("a known browser got another cookie")
	}
	// Another person uses the same browser.
	bob := askedOn(a.service)
	if got := bob.Want(bob.open(first), 200); got.JSON("known_browser") != false {
		t.Error("the browser is known for a PIN that was not given in it")
	}
	if cookie := bob.setCookie(bob.Want(bob.Do(bob.request(first, bob.viewHash(), "approve", goodPIN)), 200)); cookie != first {
		t.Error("the browser got another cookie for a second person")
	}
	a.again()
	if got := a.Want(a.open(first), 200); got.JSON("known_browser") != true {
		t.Error("the browser is not known for the first person any more")
	}
	// A cookie that was never issued is replaced: somebody else may have planted it.
	planted := token.New(token.Browser).Reveal()
	if cookie := a.setCookie(a.Want(a.Do(a.request(planted, a.viewHash(), "approve", goodPIN)), 200)); cookie == planted {
		t.Error("a planted cookie became known")
	}
	var events int
	a.people.Get(&events, `select count(*) from audit where action = 'browser.known'`)
	if events != 3 {
		t.Errorf("%d browsers became known, want 3", events)
	}
}

func TestWrongPINMakesNoBrowserKnown(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	for _, pin := range []string{wrongPIN, ""} {
		if got := a.Want(a.decide(pin), 200); got.Header.Get("Set-Cookie") != "" {
			t.Errorf("%v", got.Header)
		}
	}
}

func TestKnownBrowserRequired(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	cookie := a.setCookie(a.Want(a.decide(goodPIN), 200))
	a.people.Exec(`update instances set approval_known_browser = true`)
	a.again()
	hash := a.viewHash()
	if got := a.Want(a.open(""), 200); got.JSON("known_browser_required") != true {
		t.Errorf("%s", got.Body)
	}
	before, _ := a.charged()
	a.refused(a.Do(a.request("", hash, "approve", goodPIN)), 409, "browser_unknown")
	a.refused(a.Do(a.request(token.New(token.Browser).Reveal(), hash, "approve", wrongPIN)), 409, "browser_unknown")
	if after, _ := a.charged(); after != before {
		t.Error("an attempt was charged")
	}
	got := a.Want(a.Do(a.request(cookie, hash, "approve", goodPIN)), 200)
	a.wantDecision(got, "approved", "", "", 5, 1)
	if a.setCookie(got) != cookie {
		t.Error("the browser got another cookie")
	}
	a.again()
	a.wantDecision(a.Do(a.request("", a.viewHash(), "deny", "")), "denied", "person", "", -1, 2) // an unknown browser may deny
	a.again()
	a.Want(a.ask("POST", "/v1/customers/"+a.customer.String()+"/pin", object{"pin": otherPIN}), 200)
	a.refused(a.Do(a.request(cookie, a.viewHash(), "approve", otherPIN)), 409, "browser_unknown") // the PIN was set elsewhere
}

// TestCookieOverHTTP: over http, which is allowed for a loopback address, the cookie has another name and is not Secure, because not
// every browser accepts a Secure cookie there.
func TestCookieOverHTTP(t *testing.T) {
	t.Parallel()
	a := newAsked(t, func(s *app.Settings) { s.ApprovalURL = "http://127.0.0.1:8082" })
	got := a.Want(a.decide(goodPIN), 200)
	text := got.Header.Get("Set-Cookie")
	value, attributes, _ := strings.Cut(strings.TrimPrefix(text, "countersign-browser="), ";")
	t.Cleanup(func() { a.NeverLogged(value) })
	if !strings.HasPrefix(text, "countersign-browser=cbr_") || attributes != " Path=/; Max-Age=34560000; HttpOnly; SameSite=Strict" {
		t.Errorf("%q", attributes)
	}
	a.again()
	known := a.request("", a.viewHash(), "deny", "")
	known.Path, known.Body = "/v1/approvals/open", object{"token": a.link}
	known.Header = map[string]string{"Cookie": "countersign-browser=" + value}
	if got := a.Want(a.Do(known), 200); got.JSON("known_browser") != true {
		t.Errorf("%s", got.Body)
	}
	if got := a.Want(a.open(value), 200); got.JSON("known_browser") != false { // the other name
		t.Errorf("%s", got.Body)
	}
}
