package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/mail/mailtest"
)

func (s *service) verify(token string) answer {
	s.t.Helper()
	return s.post("/auth/verify-email", map[string]any{"token": token})
}

func (s *service) resend(email string) answer {
	s.t.Helper()
	return s.post("/auth/resend-verification", map[string]any{"email": email})
}

func (s *service) status(email string) answer {
	s.t.Helper()
	return s.request(http.MethodGet, "/auth/verification-status?email="+url.QueryEscape(email), nil)
}

func TestInvalidConfirmationLinksAreRefused(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p := s.signedUp()
	valid := box.Last(p.email, 1).Token
	var first answer
	for i, text := range []string{token.New(token.Link).Reveal(), "", "canary", token.New(token.Refresh).Reveal(), valid + "0", strings.ToUpper(valid), "csl_" + valid[5:] + valid[4:5], valid[:20], strings.Repeat("x", 4000)} {
		a := s.want(s.verify(text), http.StatusUnauthorized)
		if i == 0 {
			first = a
		}
		if a.Body != first.Body || a.body["success"] != false || a.body["user_id"] != nil || a.body["email"] != nil || a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%q: got %s", text, a.Body)
		}
	}
	s.want(s.verify(valid), http.StatusOK)
}

func TestResendHasTheSameAnswerForEveryAddress(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	waiting, confirmed, unknown := s.signedUp(), s.user(), newPerson()
	s.pass("1 minute")
	var first answer
	for i, email := range []string{waiting.email, confirmed.email, unknown.email, strings.ToUpper(newPerson().email)} {
		a := s.want(s.resend(email), http.StatusOK)
		if i == 0 {
			first = a
		}
		if a.Body != first.Body || a.body["success"] != true || a.body["retry_after"] != nil {
			t.Errorf("got %s", a.Body)
		}
		a = s.want(s.resend(strings.ToUpper(email)), http.StatusTooManyRequests)
		wait, _ := a.body["retry_after"].(float64)
		if a.body["success"] != false || wait < 1 || wait > 60 || a.Header.Get("Retry-After") != fmt.Sprint(wait) {
			t.Errorf("got %s, Retry-After %q", a.Body, a.Header.Get("Retry-After"))
		}
	}
	box.Last(waiting.email, 2)
	box.Last(confirmed.email, 1)
	box.Last(unknown.email, 0)
	if dump := s.people.Dump(); strings.Contains(dump, unknown.email) || strings.Contains(dump, fmt.Sprintf("%x", unknown.email[:20])) || !strings.Contains(dump, waiting.email) {
		t.Error("the address of a stranger is stored, or the dump has no users")
	}
	// A signup's mail counts too. A request before the first signup does not delay its mail.
	p := newPerson()
	s.want(s.resend(p.email), http.StatusOK)
	s.want(s.post("/auth/signup", p.form()), http.StatusOK)
	s.want(s.resend(p.email), http.StatusTooManyRequests)
	box.Last(p.email, 1)
	for ago, want := range map[string]int{"30 seconds": http.StatusTooManyRequests, "1 minute": http.StatusOK} {
		s.exec(`update mail_pauses set mailed_at = now() - $1::interval`, ago)
		s.want(s.resend(p.email), want)
	}
}

func TestMalformedAddressesAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, path := range []string{"/auth/resend-verification", "/auth/forgot-password"} {
		for _, bad := range []string{"", "canary", "Canary <canary@example.test>", "can\x00ary@example.test", "canary@example.test,x@example.test", "canary@localhost"} {
			a := s.want(s.post(path, map[string]any{"email": bad}), http.StatusUnprocessableEntity)
			if !strings.Contains(a.Body, `"loc":["body","email"]`) || strings.Contains(strings.ToLower(a.Body+s.log.String()), "canary") {
				t.Errorf("%q: got %s", bad, a.Body)
			}
		}
	}
}

func TestVerificationStatus(t *testing.T) {
	t.Parallel()
	s := newService(t)
	confirmed, waiting, unknown := s.user(), s.signedUp(), newPerson()
	a := s.want(s.status(strings.ToUpper(confirmed.email)), http.StatusOK)
	if a.body["email"] != confirmed.email || a.body["is_verified"] != true || a.body["status"] != "verified" || a.body["verified_at"] == nil || a.body["token_expires_at"] != nil || a.body["time_remaining_seconds"] != nil {
		t.Errorf("got %s", a.Body)
	}
	known, stranger := s.want(s.status(waiting.email), http.StatusOK), s.want(s.status(unknown.email), http.StatusOK)
	if strings.ReplaceAll(known.Body, waiting.email, "") != strings.ReplaceAll(stranger.Body, unknown.email, "") {
		t.Errorf("got %s and %s", known.Body, stranger.Body)
	}
	if known.body["is_verified"] != false || known.body["status"] != "pending" || known.body["verified_at"] != nil || known.body["token_expires_at"] != nil || known.body["time_remaining_seconds"] != nil {
		t.Errorf("got %s", known.Body)
	}
	for _, bad := range []string{"", "canary", "Canary <canary@example.test>", "can\x00ary@example.test", "canary@example.test,x@example.test"} {
		if a := s.want(s.status(bad), http.StatusUnprocessableEntity); !strings.Contains(a.Body, `"loc":["query","email"]`) || strings.Contains(strings.ToLower(a.Body), "canary") {
			t.Errorf("%q: got %s", bad, a.Body)
		}
	}
	if a := s.want(s.request(http.MethodGet, "/auth/verification-status", nil), http.StatusUnprocessableEntity); !strings.Contains(a.Body, `"missing"`) {
		t.Errorf("got %s", a.Body)
	}
	if strings.Contains(s.log.String(), confirmed.email) {
		t.Error("the log contains an address")
	}
}

// Another replica answers each request.
func TestSignupConfirmationAndLogin(t *testing.T) {
	t.Parallel()
	s, p := newService(t), newPerson()
	next := func() *service { return s.replica(oldKey) }
	signup := next()
	signedUp := signup.want(signup.post("/auth/signup", p.form()), http.StatusOK)
	s.want(next().post("/auth/login", p.form()), http.StatusUnauthorized)
	box := mailtest.NewBox(t, s.people, issuer, s.db, next().app.Outbox, s.log.Logger())
	link := box.Last(p.email, 1).Token
	a := s.want(next().verify(link), http.StatusOK)
	user := signedUp.body["user"].(map[string]any)["id"]
	if a.body["success"] != true || a.body["user_id"] != user || a.body["email"] != p.email || a.body["redirect_url"] != signIn || a.body["resend_url"] != nil {
		t.Errorf("got %s", a.Body)
	}
	if a := s.want(next().verify(link), http.StatusOK); a.body["success"] != true || !strings.Contains(a.Body, "already verified") || a.body["email"] != p.email {
		t.Errorf("the second time: %s", a.Body)
	}
	next().login(p)
	const q = `select count(*) from audit where action = 'user.confirmed' and actor_kind = 'user' and actor_id = $1 and target_id = $1`
	if n := one[int](s.deployment, q, user); n != 1 {
		t.Errorf("%d audit rows of confirmations", n)
	}
	if n := one[int](s.deployment, `select count(*) from audit where action = 'mail.sent' and target_id = $1`, user); n != 1 {
		t.Errorf("%d audit rows of mails", n)
	}
}

func TestExpiredConfirmationLinkIsRefused(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p := s.signedUp()
	link := box.Last(p.email, 1).Token
	s.pass("24 hours")
	a := s.want(s.verify(link), http.StatusUnauthorized)
	if a.body["success"] != false || a.body["email"] != p.email || a.body["resend_url"] != issuer+"/auth/resend-verification" || a.body["redirect_url"] != nil || !strings.Contains(a.Body, "expired") {
		t.Errorf("got %s", a.Body)
	}
	s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized)
}

// A stranger signs up with the owner's address. The owner's own link confirms nothing without a password.
func TestLinkAfterSeveralSignupsNeedsAPassword(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	owner := s.signedUp()
	stranger := person{owner.email, newPerson().password}
	s.want(s.post("/auth/signup", stranger.form()), http.StatusOK)
	s.pass("1 minute")
	s.want(s.resend(owner.email), http.StatusOK)
	link := box.Last(owner.email, 2).Token
	with := func(passwords map[string]any) answer {
		passwords["token"] = link
		return s.post("/auth/verify-email", passwords)
	}
	for name, body := range map[string]map[string]any{"no password": {}, "a wrong password": {"password": newPerson().password}} {
		a := s.want(with(body), http.StatusConflict)
		if a.Header.Get("X-Error-Code") != "password_needed" || a.body["success"] != false || a.body["email"] != owner.email || a.body["redirect_url"] != nil || a.body["resend_url"] != nil {
			t.Errorf("%s: got %s", name, a.Body)
		}
	}
	for name, body := range map[string]map[string]any{
		"both": {"password": owner.password, "new_password": newPerson().password}, "weak": {"new_password": "Password123"}, "short": {"new_password": "short"},
		"a number": {"password": 4242}, "huge": {"password": strings.Repeat("x", 1025)},
	} {
		if a := s.want(with(body), http.StatusUnprocessableEntity); !strings.Contains(a.Body, `password"]`) {
			t.Errorf("%s: got %s", name, a.Body)
		}
	}
	for _, p := range []person{owner, stranger} {
		if a := s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized); !strings.Contains(a.Body, "not confirmed") {
			t.Errorf("got %s", a.Body)
		}
	}
	if a := s.want(with(map[string]any{"password": owner.password}), http.StatusOK); a.body["success"] != true || a.body["redirect_url"] != signIn {
		t.Errorf("got %s", a.Body)
	}
	if a := s.want(with(map[string]any{"new_password": stranger.password}), http.StatusOK); !strings.Contains(a.Body, "already verified") {
		t.Errorf("got %s", a.Body)
	}
	s.want(s.post("/auth/login", stranger.form()), http.StatusUnauthorized)
	s.login(owner)
}
