package login_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp/hotp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/internal/login"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/network"
	"github.com/countersign/countersign/services/auth/internal/password"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

const (
	issuer        = "https://auth.example.test"
	rightPassword = "Canary-right-password"
)

// deployment is Logins with a database of the test's own, and a clock for TOTP codes.
type deployment struct {
	*login.Logins
	t      *testing.T
	people storetest.People
	clock  *atomic.Int64
}

func newDeployment(t *testing.T) deployment {
	t.Parallel()
	database := storetest.Postgres(t)
	db := database.Open(t, schema.RoleAuth)
	ring, err := keyring.Parse("old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	limits := mfa.DefaultBudget
	limits.Attempts, limits.Failures = 1000, 1000
	charger := budget.NewCharger(db)
	factors := mfa.New(db, charger, ring, limits, issuer)
	networks := &network.Networks{DB: db, Ring: ring}
	d := deployment{&login.Logins{
		DB: db, Passwords: password.New(password.DefaultBudget, db, charger, slowhash.NewPool(2, 400), networks, prometheus.NewRegistry()), Factors: factors, Networks: networks,
		Sessions: &usersession.Sessions{
			Config: usersession.Config{AccessLifetime: 15 * time.Minute, SessionLifetime: 720 * time.Hour}, Issuer: issuer, DB: db, Ring: ring,
			SigningKeys: signing.New(signing.AccessTokens, db, ring, 2160*time.Hour), AccessTokens: accesstoken.NewReader(db, issuer),
		},
	}, t, storetest.NewPeople(t, database), &atomic.Int64{}}
	d.clock.Store(1_800_000_000)
	factors.Now = func() time.Time { return time.Unix(d.clock.Load(), 0) }
	return d
}

// one returns the value that a query finds.
func one[T any](d deployment, q string, args ...any) (value T) {
	d.t.Helper()
	d.people.Get(&value, q, args...)
	return value
}

// user is a user with the password rightPassword.
type user struct {
	d        deployment
	id       uuid.UUID
	email    string
	secret   string
	recovery []string
}

func (d deployment) user() user {
	d.t.Helper()
	hash, err := d.Passwords.Hash(d.t.Context(), secret.New(rightPassword))
	if err != nil {
		d.t.Fatal(err)
	}
	u := user{d: d, email: uuid.NewString() + "@example.test"}
	d.people.Get(&u.id, `insert into users (email, password_hash, email_confirmed_at) values ($1, $2, now()) returning id`, u.email, hash)
	return u
}

func (u user) login() (usersession.Tokens, error) {
	return u.d.Login(u.d.t.Context(), u.email, secret.New(rightPassword))
}

func (u user) mustLogin() usersession.Tokens {
	u.d.t.Helper()
	tokens, err := u.login()
	if err != nil {
		u.d.t.Fatal(err)
	}
	return tokens
}

// signedIn returns a context whose caller is signed in with these tokens.
func (d deployment) signedIn(tokens usersession.Tokens) context.Context {
	d.t.Helper()
	who, err := d.Sessions.AccessTokens.Authenticate(d.t.Context(), tokens.AccessToken.Reveal())
	if err != nil {
		d.t.Fatal(err)
	}
	return caller.NewContext(d.t.Context(), who)
}

// code returns the code that the user's app shows now. Each call returns another code.
func (u *user) code() mfa.Code {
	u.d.t.Helper()
	text, err := hotp.GenerateCode(u.secret, uint64(u.d.clock.Add(30)/30))
	if err != nil {
		u.d.t.Fatal(err)
	}
	return parse(u.d.t, text)
}

// wrongCode returns a code that the user's app does not show now.
func (u *user) wrongCode() mfa.Code {
	u.d.t.Helper()
	u.d.clock.Add(300)
	text, err := hotp.GenerateCode(u.secret, uint64(u.d.clock.Load()/30+5))
	if err != nil {
		u.d.t.Fatal(err)
	}
	return parse(u.d.t, text)
}

func parse(t *testing.T, text string) mfa.Code {
	t.Helper()
	code, err := mfa.ParseCode(secret.New(text))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// withFactor returns a user with a second factor, and a session.
func (d deployment) withFactor() (user, usersession.Tokens) {
	d.t.Helper()
	u := d.user()
	tokens := u.mustLogin()
	e, err := d.Factors.Enrol(d.t.Context(), u.id, u.email)
	if err != nil {
		d.t.Fatal(err)
	}
	u.secret = e.Secret.Reveal()
	codes, err := d.ConfirmSecondFactor(d.signedIn(tokens), u.code())
	if err != nil {
		d.t.Fatal(err)
	}
	for _, code := range codes {
		u.recovery = append(u.recovery, code.Reveal())
	}
	return u, tokens
}

// challenge enters the right password and returns the challenge.
func (u user) challenge() secret.Text {
	u.d.t.Helper()
	_, err := u.login()
	var challenge *login.Challenge
	if !errors.As(err, &challenge) || !errors.Is(err, login.ErrSecondFactor) {
		u.d.t.Fatalf("got %v, want a challenge", err)
	}
	return challenge.Token.Text
}

func (d deployment) wantAnswer(challenge secret.Text, code mfa.Code, want error) {
	d.t.Helper()
	if _, err := d.Answer(d.t.Context(), challenge, code); !errors.Is(err, want) {
		d.t.Errorf("got %v, want %v", err, want)
	}
}

func TestLoginIsRefused(t *testing.T) {
	d := newDeployment(t)
	u, unconfirmed := d.user(), d.user()
	d.people.Exec(`update users set email_confirmed_at = null where id = $1`, unconfirmed.id)
	for name, rule := range map[string]struct {
		email, password string
		want            error
	}{
		"a wrong password":                       {u.email, "Wrong-canary-1", login.ErrRefused},
		"an unknown address":                     {uuid.NewString() + "@example.test", rightPassword, login.ErrRefused},
		"an unconfirmed address":                 {unconfirmed.email, rightPassword, login.ErrUnconfirmed},
		"an unconfirmed address, wrong password": {unconfirmed.email, "Wrong-canary-1", login.ErrRefused},
	} {
		if _, err := d.Login(t.Context(), rule.email, secret.New(rule.password)); !errors.Is(err, rule.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := one[int](d, `select count(*) from user_sessions`); n != 0 {
		t.Errorf("%d sessions", n)
	}
	if n := one[int](d, `select count(*) from audit where action = 'login.refused'`); n != 4 {
		t.Errorf("%d audit rows", n)
	}
}

// Each of several people that signed up with an address is told that it is not confirmed; a wrong password tells nothing.
func TestLoginWithSeveralSignupsIsRefused(t *testing.T) {
	d := newDeployment(t)
	u := d.user()
	d.people.Exec(`update users set email_confirmed_at = null where id = $1`, u.id)
	for _, password := range []string{"Canary-second-signup", "Canary-third-signup"} {
		hash, err := d.Passwords.HashSignup(t.Context(), u.email, secret.New(password))
		if err != nil {
			t.Fatal(err)
		}
		d.people.Exec(`insert into repeated_signups (user_id, password_hash) values ($1, $2)`, u.id, hash)
	}
	for password, want := range map[string]error{
		rightPassword: login.ErrUnconfirmed, "Canary-second-signup": login.ErrUnconfirmed, "Canary-third-signup": login.ErrUnconfirmed, "Wrong-canary-1": login.ErrRefused,
	} {
		if _, err := d.Login(t.Context(), u.email, secret.New(password)); !errors.Is(err, want) {
			t.Errorf("%s: %v", password, err)
		}
	}
}

func TestLoginFailsWhenThePasswordIsReplacedDuringIt(t *testing.T) {
	d := newDeployment(t)
	u := d.user()
	change := d.people.Begin()
	change.MustExec(`update users set password_generation = gen_random_uuid() where id = $1`, u.id)
	result := make(chan error)
	go func() {
		_, err := u.login()
		result <- err
	}()
	d.people.AwaitLocks(1)
	if err := change.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, login.ErrRefused) {
		t.Errorf("got %v", err)
	}
	if n := one[int](d, `select count(*) from user_sessions`); n != 0 {
		t.Errorf("%d sessions", n)
	}
	u.mustLogin()
}

func TestChallengeOpensOneSession(t *testing.T) {
	d := newDeployment(t)
	u, _ := d.withFactor()
	challenge := u.challenge()
	codes := []mfa.Code{u.code()}
	for _, code := range u.recovery {
		codes = append(codes, parse(t, code))
	}
	before := one[int](d, `select count(*) from user_sessions`)
	var opened atomic.Int64
	var running sync.WaitGroup
	for i := range 48 {
		running.Go(func() {
			_, err := d.Answer(t.Context(), challenge, codes[i%len(codes)])
			for errors.Is(err, budget.ErrNotCharged) { // on a busy machine, a charge may wait too long for its turn
				_, err = d.Answer(t.Context(), challenge, codes[i%len(codes)])
			}
			switch {
			case err == nil:
				opened.Add(1)
			case !errors.Is(err, login.ErrChallengeInvalid) && !errors.Is(err, login.ErrCodeWrong):
				t.Errorf("got %v", err)
			}
		})
	}
	running.Wait()
	if n := one[int](d, `select count(*) from user_sessions`) - before; n != 1 || opened.Load() != 1 {
		t.Errorf("%d sessions, %d answers", n, opened.Load())
	}
	// Only a code that opened a session is used.
	if n := one[int](d, `select count(*) from recovery_codes`); n < 9 {
		t.Errorf("%d recovery codes are left", n)
	}
}

func TestInvalidChallengesAreRefused(t *testing.T) {
	d := newDeployment(t)
	u, _ := d.withFactor()
	other, _ := d.withFactor()
	used := u.challenge()
	d.wantAnswer(used, u.code(), nil)
	outdated := u.challenge()
	d.people.Exec(`update users set password_generation = gen_random_uuid()`)
	expired := u.challenge()
	d.people.Exec(`update login_challenges set expires_at = now() where token_hash = sha256($1::bytea)`, expired.Reveal())
	for name, challenge := range map[string]secret.Text{
		"used": used, "expired": expired, "older than the password": outdated, "unknown": token.New(token.Challenge).Text, "empty": secret.New(""),
	} {
		if _, err := d.Answer(t.Context(), challenge, u.code()); !errors.Is(err, login.ErrChallengeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := one[int](d, `select coalesce(sum(charged - window_start), 0) from guess_budgets where kind like 'second_factor%'`); n != 0 {
		t.Errorf("%d attempts were charged", n)
	}
	// A code works only with a challenge of its own user.
	othersChallenge := other.challenge()
	d.wantAnswer(othersChallenge, u.code(), login.ErrCodeWrong)
	d.wantAnswer(othersChallenge, parse(t, u.recovery[0]), login.ErrCodeWrong)
	d.wantAnswer(u.challenge(), parse(t, u.recovery[0]), nil)
	d.wantAnswer(othersChallenge, other.code(), nil)

	removed := u.challenge()
	if err := d.Factors.Remove(t.Context(), u.id, u.code()); err != nil {
		t.Fatal(err)
	}
	d.wantAnswer(removed, u.code(), login.ErrChallengeInvalid)
}

func TestExpiredChallengesAreDeleted(t *testing.T) {
	d := newDeployment(t)
	u, _ := d.withFactor()
	u.challenge()
	d.people.Exec(`update login_challenges set expires_at = now()`)
	u.challenge()
	if n := one[int](d, `select count(*) from login_challenges`); n != 1 {
		t.Errorf("%d challenges", n)
	}
}

func TestConfirmingASecondFactorEndsOtherSessionsAndLogins(t *testing.T) {
	d := newDeployment(t)
	u := d.user()
	kept, other := u.mustLogin(), u.mustLogin()
	e, err := d.Factors.Enrol(t.Context(), u.id, u.email)
	if err != nil {
		t.Fatal(err)
	}
	u.secret = e.Secret.Reveal()
	generation := one[uuid.UUID](d, `select password_generation from users`)
	if _, err := d.ConfirmSecondFactor(d.signedIn(kept), u.code()); err != nil {
		t.Fatal(err)
	}
	if one[uuid.UUID](d, `select password_generation from users`) == generation {
		t.Error("a login that has compared the password can still open a session without a code")
	}
	if _, err := d.Sessions.Refresh(t.Context(), other.RefreshToken.Text); !errors.Is(err, usersession.ErrRefreshRefused) {
		t.Errorf("another session: %v", err)
	}
	if _, err := d.Sessions.Refresh(t.Context(), kept.RefreshToken.Text); err != nil {
		t.Errorf("the session of the confirmation: %v", err)
	}
}

func TestStepUpNeedsEveryFactor(t *testing.T) {
	d := newDeployment(t)
	u := d.user()
	withPassword := u.mustLogin()
	guarded, withFactor := d.withFactor()
	text := func(s string) *secret.Text { t := secret.New(s); return &t }
	code := func(c mfa.Code) *mfa.Code { return &c }
	for name, rule := range map[string]struct {
		session  usersession.Tokens
		password *secret.Text
		code     func() *mfa.Code
		want     error
	}{
		"without a factor: nothing":                     {withPassword, nil, nil, login.ErrPasswordNeeded},
		"without a factor: a wrong password":            {withPassword, text("Wrong-canary-1"), nil, password.ErrWrong},
		"without a factor: a code":                      {withPassword, nil, func() *mfa.Code { return code(parse(t, "123456")) }, mfa.ErrNoFactor},
		"without a factor: the password":                {withPassword, text(rightPassword), nil, nil},
		"with a factor: the password":                   {withFactor, text(rightPassword), nil, login.ErrCodeNeeded},
		"with a factor: a wrong code":                   {withFactor, nil, func() *mfa.Code { return code(guarded.wrongCode()) }, mfa.ErrWrong},
		"with a factor: the password, a wrong code":     {withFactor, text(rightPassword), func() *mfa.Code { return code(guarded.wrongCode()) }, mfa.ErrWrong},
		"with a factor: a wrong password, a right code": {withFactor, text("Wrong-canary-1"), func() *mfa.Code { return code(guarded.code()) }, password.ErrWrong},
		"with a factor: a code":                         {withFactor, nil, func() *mfa.Code { return code(guarded.code()) }, nil},
		"with a factor: both":                           {withFactor, text(rightPassword), func() *mfa.Code { return code(guarded.code()) }, nil},
		"with a factor: a recovery code":                {withFactor, nil, func() *mfa.Code { return code(parse(t, guarded.recovery[0])) }, nil},
	} {
		d.people.Exec(`update user_sessions set proved_at = now() - interval '301 seconds'`)
		var entered *mfa.Code
		if rule.code != nil {
			entered = rule.code()
		}
		ctx := d.signedIn(rule.session)
		if err := d.StepUp(ctx, rule.password, entered); !errors.Is(err, rule.want) {
			t.Errorf("%s: %v", name, err)
		}
		const q = `select proved_at > now() - interval '5 minutes' from user_sessions where id = $1`
		if fresh := one[bool](d, q, caller.From(ctx).SessionID); fresh != (rule.want == nil) {
			t.Errorf("%s: fresh is %v", name, fresh)
		}
	}
	if amr := fmt.Sprint(caller.From(d.signedIn(withFactor)).AMR); amr != "[pwd otp mfa]" {
		t.Errorf("methods %s", amr)
	}
}

func TestChallengesAreNotStoredAndAreDeletedWithTheirUser(t *testing.T) {
	d := newDeployment(t)
	u, _ := d.withFactor()
	challenge := u.challenge()
	stored := d.people.Dump()
	if !strings.Contains(stored, fmt.Sprintf("%x", sha256.Sum256([]byte(challenge.Reveal())))) {
		t.Error("the dump does not contain the hash of the challenge")
	}
	if strings.Contains(stored, challenge.Reveal()) || strings.Contains(stored, fmt.Sprintf("%x", challenge.Reveal())) {
		t.Error("the challenge is stored")
	}
	d.people.Exec(`delete from users where id = $1`, u.id)
	if n := one[int](d, `select count(*) from login_challenges`); n != 0 {
		t.Errorf("%d challenges of a deleted user", n)
	}
}
