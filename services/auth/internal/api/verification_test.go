package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/pkg/token"
	outbox "github.com/countersign/countersign/services/auth/internal/mail"
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

// TestFromSignupToLoginByMail also starts the service anew between any two steps.
func TestFromSignupToLoginByMail(t *testing.T) {
	t.Parallel()
	s, p := newService(t), newPerson()
	box := mailbox{s.deployment, filepath.Join(t.TempDir(), "mails")}
	again := func() *service { return s.replica(oldKey) }
	signedUp := again().want(again().post("/auth/signup", p.form()), http.StatusOK)
	again().want(again().post("/auth/login", p.form()), http.StatusUnauthorized)
	again().sends(outbox.Config{Folder: box.path, From: from})
	mail := box.last(p.email, 1)
	a := again().want(again().verify(mail.token), http.StatusOK)
	user := signedUp.body["user"].(map[string]any)["id"]
	if a.body["success"] != true || a.body["user_id"] != user || a.body["email"] != p.email || a.body["redirect_url"] != signIn || a.body["resend_url"] != nil {
		t.Errorf("got %s", a.Body)
	}
	again().login(p)
	const trail = `select count(*) from audit where action = 'user.confirmed' and actor_kind = 'user' and actor_id = $1 and target_id = $1`
	if n := one[int](s.deployment, trail, user); n != 1 {
		t.Errorf("%d confirmations in the audit trail", n)
	}
	if n := one[int](s.deployment, `select count(*) from audit where action = 'mail.sent' and target_id = $1`, user); n != 1 {
		t.Errorf("%d mails in the audit trail", n)
	}
}

func TestAMailIsPlainAndItsFileIsItsOwners(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p := s.signedUp()
	mail := box.last(p.email, 1)
	for _, want := range []string{"From: \"Countersign\" <no-reply@example.test>\r\n", "\r\nContent-Transfer-Encoding: 7bit\r\n", "\r\nAuto-Submitted: auto-generated\r\n",
		"\r\n" + issuer + "/verify-email#token=" + mail.token + "\r\n"} {
		if !strings.Contains(mail.raw, want) {
			t.Errorf("no %q in\n%s", want, mail.raw)
		}
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(mail.raw, "\r\n"), "\r\n") {
		if len(line) > 200 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q", line)
		}
	}
	files, err := os.ReadDir(box.path)
	must(t, err)
	info, err := files[0].Info()
	must(t, err)
	if len(files) != 1 || info.Mode().Perm() != 0o600 || strings.Contains(files[0].Name(), p.email) {
		t.Errorf("%v", files)
	}
	if log := s.log.String(); !strings.Contains(log, files[0].Name()) || strings.Contains(log, p.email) {
		t.Errorf("the log names the address, or not the file:\n%s", log)
	}
}

func TestLinksThatAreFollowedAgainOrTooLate(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p := s.signedUp()
	first := box.last(p.email, 1)
	s.later("1 minute")
	s.want(s.resend(p.email), http.StatusOK)
	second := box.last(p.email, 2)
	if first.token == second.token || first.id == second.id {
		t.Error("two mails are one")
	}

	s.later("24 hours") // both are over
	for _, mail := range []letter{first, second} {
		a := s.want(s.verify(mail.token), http.StatusUnauthorized)
		if a.body["success"] != false || a.body["email"] != p.email || a.body["resend_url"] != issuer+"/auth/resend-verification" || a.body["redirect_url"] != nil || !strings.Contains(a.Body, "expired") {
			t.Errorf("got %s", a.Body)
		}
	}
	s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized)
	s.want(s.resend(p.email), http.StatusOK)
	third := box.last(p.email, 3)
	s.later("23 hours 59 minutes")
	s.want(s.resend(p.email), http.StatusOK)
	box.last(p.email, 4)
	if a := s.want(s.verify(third.token), http.StatusOK); strings.Contains(a.Body, "already") {
		t.Errorf("got %s", a.Body)
	}
	confirmed := one[string](s.deployment, `select u::text from users u`)
	for _, mail := range box.all(p.email) {
		if a := s.want(s.verify(mail.token), http.StatusOK); a.body["success"] != true || !strings.Contains(a.Body, "already verified") || a.body["email"] != p.email {
			t.Errorf("got %s", a.Body)
		}
	}
	if now := one[string](s.deployment, `select u::text from users u`); now != confirmed {
		t.Error("a link that was followed again changed the user")
	}
	if n := one[int](s.deployment, `select count(*) from audit where action = 'confirm.refused'`); n != 2 {
		t.Errorf("%d refusals in the audit trail", n)
	}
	s.login(p)
}

func TestLinksThatAreNone(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p := s.signedUp()
	good := box.last(p.email, 1).token
	var first answer
	for i, text := range []string{token.New(token.Link).Reveal(), "", "canary", token.New(token.Refresh).Reveal(), good + "0", strings.ToUpper(good), "csl_" + good[5:] + good[4:5], good[:20], strings.Repeat("x", 4000)} {
		a := s.want(s.verify(text), http.StatusUnauthorized)
		if i == 0 {
			first = a
		}
		if a.Body != first.Body || a.body["success"] != false || a.body["user_id"] != nil || a.body["email"] != nil || a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%q: got %s", text, a.Body)
		}
	}
	// A link does what it was mailed for and nothing else.
	s.want(s.post("/auth/reset-password", map[string]any{"token": good, "password": "Another-canary-1"}), http.StatusUnauthorized)
	s.want(s.post("/auth/forgot-password", map[string]any{"email": p.email}), http.StatusOK)
	s.want(s.verify(box.last(p.email, 2).token), http.StatusUnauthorized)
	s.want(s.verify(good), http.StatusOK)
}

// TestALinkActivatesItsOwnSignup plays the race of a stranger and the owner of an address for the password.
func TestALinkActivatesItsOwnSignup(t *testing.T) {
	t.Parallel()
	for _, followed := range []int{0, 1, 2} {
		t.Run(fmt.Sprint("link ", followed), func(t *testing.T) {
			t.Parallel()
			s, box := withMail(t)
			address := newPerson().email
			var people []person
			var links []string
			for i := range 3 {
				people = append(people, person{address, newPerson().password})
				s.want(s.post("/auth/signup", people[i].form()), http.StatusOK)
				links = append(links, box.last(address, i+1).token)
				// One that comes within a minute is not mailed and counts for nothing.
				s.want(s.post("/auth/signup", person{address, newPerson().password}.form()), http.StatusOK)
				s.later("1 minute")
			}
			s.want(s.verify(links[followed]), http.StatusOK)
			for _, link := range links {
				s.want(s.verify(link), http.StatusOK)
			}
			for i, p := range people {
				want := http.StatusUnauthorized
				if i == followed {
					want = http.StatusOK
				}
				s.want(s.post("/auth/login", p.form()), want)
			}
			box.last(address, 3)
			if n := one[int](s.deployment, `select count(*) from mails where password_hash is not null`); n != 0 {
				t.Errorf("%d signups are left", n)
			}
		})
	}
}

func TestResendingIsAboutTheLatestSignup(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	stranger := s.signedUp()
	s.later("1 minute")
	owner := person{stranger.email, newPerson().password}
	s.want(s.post("/auth/signup", owner.form()), http.StatusOK)
	s.later("1 minute")
	s.want(s.resend(owner.email), http.StatusOK)
	s.want(s.verify(box.last(owner.email, 3).token), http.StatusOK)
	s.want(s.post("/auth/login", stranger.form()), http.StatusUnauthorized)
	s.login(owner)
}

func TestAConfirmedAddressThatSignsUpGetsANotice(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p := s.user()
	box.last(p.email, 1)
	s.want(s.post("/auth/signup", p.form()), http.StatusOK)
	box.last(p.email, 1) // too soon for another mail
	s.later("1 minute")
	for range 2 {
		s.want(s.post("/auth/signup", p.form()), http.StatusOK)
	}
	if mail := box.last(p.email, 2); mail.token != "" || !strings.Contains(mail.subject, "already") {
		t.Errorf("got\n%s", mail.raw)
	}
}

func TestResendIsTheSameForEveryAddress(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	waiting, confirmed, unknown := s.signedUp(), s.user(), newPerson()
	s.later("1 minute")
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
	box.last(waiting.email, 2)
	box.last(confirmed.email, 1)
	box.last(unknown.email, 0)
	if dump := s.people.Dump(); strings.Contains(dump, unknown.email) || strings.Contains(dump, fmt.Sprintf("%x", unknown.email[:20])) || !strings.Contains(dump, waiting.email) {
		t.Error("the address of a stranger is kept, or the dump is none")
	}
	// The signup's mail counts too; and who asked about an address before its first signup keeps nobody waiting.
	p := newPerson()
	s.want(s.resend(p.email), http.StatusOK)
	s.want(s.post("/auth/signup", p.form()), http.StatusOK)
	s.want(s.resend(p.email), http.StatusTooManyRequests)
	box.last(p.email, 1)
	for ago, want := range map[string]int{"30 seconds": http.StatusTooManyRequests, "1 minute": http.StatusOK} {
		s.exec(`update mail_pauses set mailed_at = now() - $1::interval`, ago)
		s.want(s.resend(p.email), want)
	}
}

func TestManyWhoAskAtOnceGetOneMail(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	replicas := []*service{s, s.replica(oldKey), s.replica(oldKey)}
	s.sends(outbox.Config{Folder: box.path, From: from})
	p := newPerson()
	var wait sync.WaitGroup
	for i := range 100 {
		wait.Go(func() { s.want(replicas[i%3].post("/auth/signup", p.form()), http.StatusOK) })
	}
	wait.Wait()
	box.last(p.email, 1)
	for _, email := range []string{p.email, newPerson().email} {
		s.later("1 minute")
		var granted atomic.Int32
		for i := range 30 {
			wait.Go(func() {
				if replicas[i%3].resend(email).Status == http.StatusOK {
					granted.Add(1)
				}
			})
		}
		wait.Wait()
		if n := granted.Load(); n != 1 {
			t.Errorf("%d of 30 were granted a mail", n)
		}
	}
	links := box.all(p.email)
	if len(links) != 2 {
		t.Fatalf("%d mails", len(links))
	}
	var firsts atomic.Int32
	for i := range 20 {
		wait.Go(func() {
			if a := s.want(replicas[i%3].verify(links[i%2].token), http.StatusOK); !strings.Contains(a.Body, "already") {
				firsts.Add(1)
			}
		})
	}
	wait.Wait()
	if n := firsts.Load(); n != 1 {
		t.Errorf("confirmed %d times", n)
	}
	if n := one[int](s.deployment, `select count(*) from audit where action = 'user.confirmed'`); n != 1 {
		t.Errorf("%d confirmations in the audit trail", n)
	}
}

func TestAddressesThatAreNoneAreRefusedAlike(t *testing.T) {
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
		t.Error("an address was logged")
	}
}
