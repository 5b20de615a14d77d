package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/argon2"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/slowhash"
)

func TestLoginGivesASession(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	before := time.Now().Truncate(time.Second)
	a := s.want(s.post("/auth/login", map[string]any{"email": strings.ToUpper(p.email), "password": p.password}), http.StatusOK)
	tokens := s.pairOf(a)
	user := one[string](s.deployment, `select id from users where email = $1`, p.email)
	if u := a.body["user"].(map[string]any); a.body["success"] != true || a.body["error"] != nil || u["id"] != user || u["email_confirmed_at"] == nil {
		t.Errorf("got %s", a.Body)
	}

	var claims accesstoken.Claims
	parsed, _, err := jwt.NewParser().ParseUnverified(tokens.access, &claims)
	must(t, err)
	if claims.Issuer != issuer || claims.Subject != user || claims.Role != "user" || claims.Email != p.email || claims.ID == "" ||
		fmt.Sprint(claims.Audience, claims.AMR) != "[countersign] [pwd]" || parsed.Header["alg"] != "EdDSA" {
		t.Errorf("claims %+v, header %v", claims, parsed.Header)
	}
	if claims.IssuedAt.Before(before) || claims.IssuedAt.After(time.Now()) || claims.ExpiresAt.Sub(claims.IssuedAt.Time) != lifetimes.AccessLifetime {
		t.Errorf("issued %v, expires %v", claims.IssuedAt, claims.ExpiresAt)
	}
	if session := a.body["session"].(map[string]any); session["expires_at"] != float64(claims.ExpiresAt.Unix()) {
		t.Errorf("expires_at is %v", session["expires_at"])
	}
	const stored = `select count(*) from user_sessions where id = $1 and user_id = $2 and revoked_at is null and expires_at = created_at + interval '30 days'`
	if n := one[int](s.deployment, stored, claims.SessionID, user); n != 1 {
		t.Errorf("%d sessions stored", n)
	}
	const trail = `select count(*) from audit where action = 'session.created' and actor_kind = 'user' and actor_id = $1 and target_id = $2`
	if n := one[int](s.deployment, trail, user, claims.SessionID); n != 1 {
		t.Errorf("%d rows in the audit trail", n)
	}
	s.want(s.profile(tokens.access), http.StatusOK)
}

func TestRefusedLoginsAreAlike(t *testing.T) {
	t.Parallel()
	s := newService(t)
	confirmed, unconfirmed := s.user(), s.signedUp()
	var first answer
	for i, p := range []person{
		{confirmed.email, "Wrong-canary-1"}, {strings.ToUpper(confirmed.email), confirmed.password + " "}, {confirmed.email, ""},
		{unconfirmed.email, "Wrong-canary-1"}, newPerson(), {newPerson().email, ""},
	} {
		a := s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized)
		if i == 0 {
			first = a
		}
		if a.Body != first.Body || a.Header.Get("WWW-Authenticate") != "Bearer" || len(a.Header) != len(first.Header) {
			t.Errorf("answer %d differs: %s %v", i, a.Body, a.Header)
		}
	}
	if first.body["success"] != false || first.body["user"] != nil || first.body["session"] != nil || first.body["error"] == "" {
		t.Errorf("got %s", first.Body)
	}
	if n := one[int](s.deployment, `select count(*) from user_sessions`); n != 0 {
		t.Errorf("%d sessions", n)
	}
	const trail = `select count(*) from audit a left join users u on u.id = a.target_id
	                where action = 'login.refused' and actor_kind = 'anonymous' and coalesce(u.email, '') = $1`
	for email, want := range map[string]int{confirmed.email: 3, unconfirmed.email: 1, "": 2} {
		if n := one[int](s.deployment, trail, email); n != want {
			t.Errorf("%d refused logins of %q in the audit trail, want %d", n, email, want)
		}
	}
	if n := one[int](s.deployment, `select count(*) from audit where details::text like '%@%'`); n != 0 {
		t.Errorf("%d rows of the audit trail hold an address", n)
	}
}

func TestUnconfirmedIsToldOnlyAfterARightPassword(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.signedUp()
	wrong := s.want(s.post("/auth/login", person{p.email, "Wrong-canary-1"}.form()), http.StatusUnauthorized)
	right := s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized)
	if strings.Contains(wrong.Body, "confirmed") || !strings.Contains(right.Body, "not confirmed") || right.body["user"] != nil || right.body["session"] != nil {
		t.Errorf("wrong: %s right: %s", wrong.Body, right.Body)
	}
}

func TestOutdatedPasswordHashesAreRenewedAfterARightPassword(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	salt, text := []byte("sixteen bytes it"), base64.RawStdEncoding.EncodeToString
	cheap := fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=1$%s$%s", text(salt), text(argon2.IDKey([]byte(p.password), salt, 1, 64, 1, 32)))
	s.exec(`update users set password_hash = $1`, cheap)
	s.want(s.post("/auth/login", person{p.email, "Wrong-canary-1"}.form()), http.StatusUnauthorized)
	if hash := one[string](s.deployment, `select password_hash from users`); hash != cheap {
		t.Errorf("renewed after a wrong password: %s", hash)
	}
	s.login(p)
	if hash := one[string](s.deployment, `select password_hash from users`); slowhash.Outdated(hash, "") {
		t.Errorf("still outdated: %s", hash)
	}
	s.login(p)
}

// TestNothingSecretIsStored looks for passwords and tokens in every row; the harness looks in everything logged.
func TestNothingSecretIsStored(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	tokens := s.login(p)
	next := s.pairOf(s.refresh(tokens.refresh))
	s.want(s.post("/auth/login", person{p.email, "Wrong-" + p.password}.form()), http.StatusUnauthorized)
	s.want(s.refresh(next.access), http.StatusUnauthorized)
	s.want(s.logout(next.refresh), http.StatusUnauthorized)
	s.want(s.logout(next.access), http.StatusOK)
	const q = `select string_agg(row::text, ' ') from (
		select u::text as row from users u union all select x::text from user_sessions x union all select x::text from refresh_tokens x
		union all select x::text from signing_keys x union all select x::text from audit x) all_rows`
	stored := one[string](s.deployment, q)
	if !strings.Contains(stored, p.email) {
		t.Error("looked in the wrong place")
	}
	for secret := range s.secrets {
		if strings.Contains(stored, secret) || strings.Contains(stored, fmt.Sprintf("%x", secret)) {
			t.Errorf("a password or token is stored: %.8s…", secret)
		}
	}
	if logged := s.log.String(); strings.Contains(logged, p.email) || !strings.Contains(logged, `"route":"/auth/login"`) {
		t.Errorf("an address was logged, or nothing:\n%s", logged)
	}
}

func TestNoSessionBeginsOnAPasswordThatWasReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	change, err := s.owner.Beginx()
	must(t, err)
	defer change.Rollback()
	_, err = change.Exec(`update users set password_generation = gen_random_uuid() where email = $1`, p.email)
	must(t, err)
	answered := make(chan answer)
	go func() { answered <- s.post("/auth/login", p.form()) }()
	// By now the password was compared, and the session waits for the user's row.
	for one[int](s.deployment, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == 0 {
		runtime.Gosched()
	}
	must(t, change.Commit())
	s.want(<-answered, http.StatusUnauthorized)
	if n := one[int](s.deployment, `select count(*) from user_sessions`); n != 0 {
		t.Errorf("%d sessions", n)
	}
	s.login(p)
}
