package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/services/auth/internal/mail/mailtest"
	"github.com/countersign/countersign/services/auth/operator"
)

// subjects returns the subjects of the mails to an address, oldest first, after the first mail: the confirmation.
func subjects(box mailtest.Box, address string) (all []string) {
	for _, letter := range box.All(address)[1:] {
		all = append(all, letter.Subject)
	}
	return all
}

func (s *service) wantMails(box mailtest.Box, address string, want ...string) {
	s.t.Helper()
	if got := subjects(box, address); !slices.Equal(got, want) {
		s.t.Errorf("mails %q, want %q", got, want)
	}
}

func TestSecurityMails(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	const (
		password, added, removed = "Your password was changed", "A second factor was added", "Your second factor was removed"
		codes, recovery          = "Your recovery codes were replaced", "A recovery code was used"
	)

	// The first password of a user, and refused changes, send nothing.
	p := s.user()
	tokens := s.login(p)
	s.want(s.change(tokens.access, "Wrong-canary-1", newPerson().password), http.StatusForbidden)
	s.wantMails(box, p.email)
	next := newPerson().password
	s.want(s.change(tokens.access, p.password, next), http.StatusOK)
	p.password = next
	s.want(s.forgot(p.email), http.StatusOK)
	s.want(s.reset(box.Last(p.email, 3).Token, newPerson().password), http.StatusOK)
	s.wantMails(box, p.email, password, "Choose a new password", password)
	_, err := operator.PutUser(asOperator(t), s.owner, p.email, operator.User, secret.New(newPerson().password))
	must(t, err)
	letter := box.Last(p.email, 5)
	if letter.Subject != password || !strings.Contains(letter.Raw, "It came from: an administrator of this service.") {
		t.Errorf("got\n%s", letter.Raw)
	}

	o := s.guarded()
	s.want(s.answers(s.challenged(o), o.recovery[0]), http.StatusOK)
	s.want(s.renewCodes(o.access, s.next(o)), http.StatusOK)
	s.want(s.remove(o.access, s.next(o)), http.StatusNoContent)
	s.wantMails(box, o.email, added, recovery, codes, removed)
	reset := s.guarded()
	must(t, operator.ResetSecondFactor(asOperator(t), s.owner, reset.email))
	s.wantMails(box, reset.email, added, removed)
	for _, letter := range box.All(o.email)[1:] {
		if letter.Token != "" || strings.Contains(letter.Raw, "http") || !strings.Contains(letter.Raw, "It came from: 127.0.0.1.") {
			t.Errorf("got\n%s", letter.Raw)
		}
	}

	first := s.signedUp()
	s.want(s.forgot(first.email), http.StatusOK)
	s.want(s.reset(box.Last(first.email, 2).Token, newPerson().password), http.StatusOK)
	s.wantMails(box, first.email, "Choose a new password")
}

func TestSignInFromAnUnknownNetworkIsMailed(t *testing.T) {
	t.Parallel()
	s := newService(t).behindProxy()
	box := mailtest.NewBox(t, s.people, issuer, s.db, s.app.Outbox, s.log.Logger())
	const subject = "New sign-in to your account"
	p := s.user()
	s.pairOf(s.loginFrom(home, p)) // the first sign-in
	s.pairOf(s.loginFrom(home, p))
	s.want(s.loginFrom(stranger, person{p.email, "Wrong-canary-1"}), http.StatusUnauthorized)
	s.wantMails(box, p.email)
	s.pairOf(s.loginFrom(elsewhere, p))
	s.pairOf(s.loginFrom(elsewhere, p))
	s.wantMails(box, p.email, subject)
	if letter := box.Last(p.email, 2); !strings.Contains(letter.Raw, "It came from: "+elsewhere+".") {
		t.Errorf("got\n%s", letter.Raw)
	}
	// All sessions and networks of long ago are pruned.
	s.exec(`update users set email_confirmed_at = now() - interval '31 days'`)
	s.exec(`delete from known_networks`)
	s.exec(`delete from user_sessions`)
	s.pairOf(s.loginFrom(home, p))
	s.wantMails(box, p.email, subject, subject)
}
