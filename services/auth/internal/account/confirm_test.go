package account_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/account"
)

func (d *deployment) resend(email string) {
	d.t.Helper()
	if err := d.Resend(d.t.Context(), email); err != nil {
		d.t.Error(err)
	}
}

func TestConfirmationLinksLast24Hours(t *testing.T) {
	d := newDeployment(t)
	email, chosen := newAddress(), newPassword()
	user := d.signUp(email, chosen)
	first := d.box.Last(email, 1)
	d.pass("1 minute")
	d.resend(email)
	second := d.box.Last(email, 2)
	if first.Token == second.Token || first.ID == second.ID {
		t.Error("two mails are equal")
	}
	d.pass("24 hours")
	for _, letter := range []string{first.Token, second.Token} {
		got, _, err := d.Confirm(t.Context(), secret.New(letter), account.Choice{})
		if !errors.Is(err, account.ErrLinkExpired) || got.ID != user.ID {
			t.Errorf("an expired link: %+v, %v", got, err)
		}
	}
	d.resend(email)
	third := d.box.Last(email, 3)
	d.pass("23 hours 59 minutes")
	d.resend(email)
	d.box.Last(email, 4)
	if !d.confirm(third.Token) {
		t.Error("the link did not confirm the address")
	}
	stored := one[string](d, `select u::text from users u`)
	for _, letter := range d.box.All(email) {
		if d.confirm(letter.Token) {
			t.Error("another link confirmed the address again")
		}
	}
	if now := one[string](d, `select u::text from users u`); now != stored {
		t.Error("a link that is followed again changed the user")
	}
	if n := one[int](d, `select count(*) from audit where action = 'confirm.refused'`); n != 2 {
		t.Errorf("%d audit rows of refusals", n)
	}
	d.wantPassword(email, chosen, true)
}

func TestMalformedLinksAndLinksOfAnotherKindAreRefused(t *testing.T) {
	d := newDeployment(t)
	email := newAddress()
	d.signUp(email, newPassword())
	valid := d.box.Last(email, 1).Token
	for _, text := range []string{token.New(token.Link).Reveal(), "", "canary", token.New(token.Refresh).Reveal(), valid + "0", strings.ToUpper(valid),
		"csl_" + valid[5:] + valid[4:5], valid[:20], strings.Repeat("x", 4000)} {
		if user, _, err := d.Confirm(t.Context(), secret.New(text), account.Choice{}); !errors.Is(err, account.ErrLink) || user.Email != "" {
			t.Errorf("%q: %+v, %v", text, user, err)
		}
	}
	// A link of one kind does not work as a link of another kind.
	wantError(t, d.reset(valid, newPassword()), account.ErrLink)
	d.forgot(email)
	_, _, err := d.Confirm(t.Context(), secret.New(d.box.Last(email, 2).Token), account.Choice{})
	wantError(t, err, account.ErrLink)
	if !d.confirm(valid) {
		t.Error("the link did not confirm the address")
	}
}

func TestResendAtMostOnceAMinuteForEveryAddress(t *testing.T) {
	d := newDeployment(t)
	waiting, confirmed, unknown := newAddress(), newAddress(), newAddress()
	d.signUp(waiting, newPassword())
	d.signUp(confirmed, newPassword())
	d.confirm(d.box.Last(confirmed, 1).Token)
	d.pass("1 minute")
	for _, email := range []string{waiting, confirmed, unknown} {
		d.resend(email)
		wantError(t, d.Resend(t.Context(), email), account.ErrTooSoon)
	}
	d.box.Last(waiting, 2)
	d.box.Last(confirmed, 1)
	d.box.Last(unknown, 0)
	// A signup's mail counts too. A request before the first signup does not delay its mail.
	fresh := newAddress()
	d.resend(fresh)
	d.signUp(fresh, newPassword())
	wantError(t, d.Resend(t.Context(), fresh), account.ErrTooSoon)
	d.box.Last(fresh, 1)
}

func TestConcurrentRequestsConfirmOnce(t *testing.T) {
	d := newDeployment(t)
	email := newAddress()
	d.signUp(email, newPassword())
	var running sync.WaitGroup
	d.pass("1 minute")
	var granted atomic.Int32
	for range 30 {
		running.Go(func() {
			switch err := d.Resend(t.Context(), email); {
			case err == nil:
				granted.Add(1)
			case !errors.Is(err, account.ErrTooSoon):
				t.Error(err)
			}
		})
	}
	running.Wait()
	if n := granted.Load(); n != 1 {
		t.Errorf("%d of 30 requests got a mail", n)
	}
	links := d.box.All(email)
	if len(links) != 2 {
		t.Fatalf("%d mails", len(links))
	}
	var firsts atomic.Int32
	for i := range 20 {
		running.Go(func() {
			if d.confirm(links[i%2].Token) {
				firsts.Add(1)
			}
		})
	}
	running.Wait()
	if n := firsts.Load(); n != 1 {
		t.Errorf("confirmed %d times", n)
	}
	if n := one[int](d, `select count(*) from audit where action = 'user.confirmed'`); n != 1 {
		t.Errorf("%d audit rows", n)
	}
}

func TestConfirmRenewsTheGuessBudget(t *testing.T) {
	d := newDeployment(t)
	email, chosen := newAddress(), newPassword()
	d.signUp(email, chosen)
	d.wantPassword(email, "Wrong-canary-1", false)
	d.people.Exec(`update guess_budgets set charged = 10, locked_until = now() + interval '1 minute'`)
	d.confirm(d.box.Last(email, 1).Token)
	d.wantPassword(email, chosen, true)
}
