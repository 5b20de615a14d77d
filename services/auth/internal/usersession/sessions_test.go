package usersession_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/page"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

const (
	issuer = "https://auth.example.test"
	oldKey = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	newKey = "new:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
	both   = newKey + "," + oldKey
)

// deployment is a database of the test's own. Each replica has Sessions of its own.
type deployment struct {
	t      *testing.T
	db     *sqlx.DB
	people storetest.People
}

func newDeployment(t *testing.T) deployment {
	t.Parallel()
	database := storetest.Postgres(t)
	db := database.Open(t, schema.RoleAuth)
	return deployment{t, db, storetest.NewPeople(t, database)}
}

func (d deployment) replica(keys string) replica {
	d.t.Helper()
	ring, err := keyring.Parse(keys)
	if err != nil {
		d.t.Fatal(err)
	}
	return replica{d, &usersession.Sessions{
		Config: usersession.Config{AccessLifetime: 15 * time.Minute, SessionLifetime: 720 * time.Hour}, Issuer: issuer, DB: d.db, Ring: ring,
		SigningKeys: signing.New(signing.AccessTokens, d.db, ring, 2160*time.Hour), AccessTokens: accesstoken.NewReader(d.db, issuer),
	}}
}

// one returns the value that a query finds.
func one[T any](d deployment, q string, args ...any) (value T) {
	d.t.Helper()
	d.people.Get(&value, q, args...)
	return value
}

type user struct {
	usersession.User
	password uuid.UUID
}

// user adds a confirmed user.
func (d deployment) user() user {
	d.t.Helper()
	now := time.Now()
	u := user{User: usersession.User{Email: uuid.NewString() + "@example.test", Role: "user", EmailConfirmedAt: &now}}
	d.people.Get(&u.ID, `insert into users (email, password_hash, email_confirmed_at) values ($1, '', now()) returning id`, u.Email)
	d.people.Get(&u.password, `select password_generation from users where id = $1`, u.ID)
	return u
}

type replica struct {
	deployment
	*usersession.Sessions
}

// open opens a session.
func (r replica) open(u user) (usersession.Tokens, error) {
	session, err := r.Prepare(r.t.Context(), u.User, u.password, "pwd")
	if err != nil {
		return usersession.Tokens{}, err
	}
	return session.Tokens, stores.InTransaction(r.t.Context(), r.db, func(tx *sqlx.Tx) error { return session.Open(r.t.Context(), tx) })
}

func (r replica) mustOpen(u user) usersession.Tokens {
	r.t.Helper()
	tokens, err := r.open(u)
	if err != nil {
		r.t.Fatal(err)
	}
	return tokens
}

// claims returns the claims of an access token without a check of its signature.
func (r replica) claims(access secret.Text) (claims accesstoken.Claims) {
	r.t.Helper()
	if _, _, err := jwt.NewParser().ParseUnverified(access.Reveal(), &claims); err != nil {
		r.t.Fatal(err)
	}
	return claims
}

// wantLive checks whether an access token authenticates its user.
func (r replica) wantLive(tokens usersession.Tokens, live bool) {
	r.t.Helper()
	who, err := r.AccessTokens.Authenticate(r.t.Context(), tokens.AccessToken.Reveal())
	if live && (err != nil || who.ID != tokens.User.ID) || !live && !errors.Is(err, caller.ErrInvalid) {
		r.t.Errorf("want live %v, got %+v, %v", live, who, err)
	}
}

func TestOpenedSessionHasValidTokens(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	u := r.user()
	r.wantLive(r.mustOpen(u), true)
	sessions, err := r.List(t.Context(), u.ID, page.Page{Number: 1, Size: 20})
	if err != nil || len(sessions.Items) != 1 || sessions.Items[0].ExpiresAt.Sub(sessions.Items[0].CreatedAt) != 720*time.Hour {
		t.Errorf("%+v, %v", sessions, err)
	}
}

func TestPreparedSessionIsNotValidBeforeItIsOpened(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	u := r.user()
	session, err := r.Prepare(t.Context(), u.User, u.password, "pwd")
	if err != nil {
		t.Fatal(err)
	}
	r.wantLive(session.Tokens, false)
}

func TestSessionIsNotOpenedAfterThePasswordWasReplaced(t *testing.T) {
	d := newDeployment(t)
	r := d.replica(oldKey)
	u := r.user()
	change := d.people.Begin()
	change.MustExec(`update users set password_generation = gen_random_uuid() where id = $1`, u.ID)
	opened := make(chan error)
	go func() {
		_, err := r.open(u)
		opened <- err
	}()
	d.people.AwaitLocks(1)
	if err := change.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; !errors.Is(err, usersession.ErrPasswordReplaced) {
		t.Errorf("got %v", err)
	}
	if n := one[int](d, `select count(*) from user_sessions`); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

func TestEndAllKeepsOneSession(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	u, other := r.user(), r.user()
	kept, ended, expired, others := r.mustOpen(u), r.mustOpen(u), r.mustOpen(u), r.mustOpen(other)
	r.people.Exec(`update user_sessions set expires_at = now() where id = $1`, r.claims(expired.AccessToken).SessionID)
	var n int64
	err := stores.InTransaction(t.Context(), r.db, func(tx *sqlx.Tx) (err error) {
		n, err = usersession.EndAll(t.Context(), tx, u.ID, r.claims(kept.AccessToken).SessionID, usersession.ByPassword)
		return err
	})
	if err != nil || n != 1 {
		t.Errorf("ended %d, %v", n, err)
	}
	r.wantLive(kept, true)
	r.wantLive(others, true)
	r.wantLive(ended, false)
	if why := one[string](r.deployment, `select string_agg(revoked_why, ' ') from user_sessions`); why != "password" {
		t.Errorf("reasons: %s", why)
	}
}

func TestConcurrentEndOthersIsRecordedOnce(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	u := r.user()
	kept, ended := r.mustOpen(u), []usersession.Tokens{r.mustOpen(u), r.mustOpen(u)}
	var running sync.WaitGroup
	for range 10 {
		running.Go(func() {
			if err := r.EndOthers(t.Context(), u.ID, r.claims(kept.AccessToken).SessionID); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	r.wantLive(kept, true)
	for _, tokens := range ended {
		r.wantLive(tokens, false)
	}
	if rows := one[string](r.deployment, `select string_agg(details::text, ' ') from audit where action = 'session.ended_others'`); rows != `{"sessions": 2}` {
		t.Errorf("audit rows: %s", rows)
	}
}

func TestUserCannotEndASessionOfAnotherUser(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	u, other := r.user(), r.user()
	tokens := r.mustOpen(other)
	for _, id := range []uuid.UUID{r.claims(tokens.AccessToken).SessionID, uuid.New()} {
		if err := r.EndOwn(t.Context(), u.ID, id); !errors.Is(err, usersession.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
	r.wantLive(tokens, true)
	for range 2 {
		if err := r.EndOwn(t.Context(), other.ID, r.claims(tokens.AccessToken).SessionID); err != nil {
			t.Error(err)
		}
	}
	r.wantLive(tokens, false)
	if n := one[int](r.deployment, `select count(*) from audit where action = 'session.ended'`); n != 1 {
		t.Errorf("%d audit rows", n)
	}
}

func TestLogoutAcceptsAnExpiredToken(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	tokens := r.mustOpen(r.user())
	claims := r.claims(tokens.AccessToken)
	expired := func(ago time.Duration) secret.Text {
		claims.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-ago))
		text, err := r.SigningKeys.Sign(t.Context(), claims)
		if err != nil {
			t.Fatal(err)
		}
		return secret.New(text)
	}
	if err := r.Logout(t.Context(), expired(r.SessionLifetime+time.Second)); !errors.Is(err, caller.ErrInvalid) {
		t.Errorf("expired longer ago than a session lasts: %v", err)
	}
	r.wantLive(tokens, true)
	if err := r.Logout(t.Context(), expired(24*time.Hour)); err != nil {
		t.Errorf("expired a day ago: %v", err)
	}
	r.wantLive(tokens, false)
}

func TestHistoryHasEndedSessions(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	u := r.user()
	if err := r.Logout(t.Context(), r.mustOpen(u).AccessToken); err != nil {
		t.Fatal(err)
	}
	r.mustOpen(u)
	var ends []string
	sessions, err := r.History(t.Context(), u.ID)
	for _, s := range sessions {
		if s.EndedBy == nil {
			ends = append(ends, "live")
		} else {
			ends = append(ends, *s.EndedBy)
		}
	}
	if got := strings.Join(ends, " "); err != nil || got != "live logout" {
		t.Errorf("%s, %v", got, err)
	}
}
