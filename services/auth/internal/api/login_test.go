package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/token"
)

func TestLogin(t *testing.T) {
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
		fmt.Sprint(claims.Audience, claims.AMR) != "[countersign] [pwd]" ||
		claims.ClientID != accesstoken.SignInClient || parsed.Header["alg"] != "EdDSA" || parsed.Header["typ"] != "at+jwt" {
		t.Errorf("claims %+v, header %v", claims, parsed.Header)
	}
	if claims.IssuedAt.Before(before) || claims.IssuedAt.After(time.Now()) || claims.ExpiresAt.Sub(claims.IssuedAt.Time) != lifetimes.AccessLifetime {
		t.Errorf("issued %v, expires %v", claims.IssuedAt, claims.ExpiresAt)
	}
	if claims.AuthTime.Before(before) || claims.AuthTime.After(time.Now()) {
		t.Errorf("auth_time %v", claims.AuthTime)
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
		t.Errorf("%d audit rows", n)
	}
	s.want(s.profile(tokens.access), http.StatusOK)
}

func TestRefusedLoginsHaveTheSameAnswer(t *testing.T) {
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
			t.Errorf("%d audit rows of refusals of %q, want %d", n, email, want)
		}
	}
	if n := one[int](s.deployment, `select count(*) from audit where details::text like '%@%'`); n != 0 {
		t.Errorf("%d audit rows contain an address", n)
	}
}

func TestUnconfirmedAddressIsRevealedOnlyAfterTheRightPassword(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.signedUp()
	wrong := s.want(s.post("/auth/login", person{p.email, "Wrong-canary-1"}.form()), http.StatusUnauthorized)
	right := s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized)
	if strings.Contains(wrong.Body, "confirmed") || !strings.Contains(right.Body, "not confirmed") || right.body["user"] != nil || right.body["session"] != nil {
		t.Errorf("wrong: %s right: %s", wrong.Body, right.Body)
	}
}

// The harness also searches the log.
func TestPasswordsAndTokensAreNotStored(t *testing.T) {
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
		t.Error("the rows do not contain the user")
	}
	for secret := range s.secrets {
		if strings.Contains(stored, secret) || strings.Contains(stored, fmt.Sprintf("%x", secret)) {
			t.Errorf("a password or token is stored: %.8s…", secret)
		}
	}
	if logged := s.log.String(); strings.Contains(logged, p.email) || !strings.Contains(logged, `"route":"/auth/login"`) {
		t.Errorf("the log contains an address, or no request:\n%s", logged)
	}
}

// guess logs in with a wrong password.
func (s *service) guess(email string) answer {
	s.t.Helper()
	return s.post("/auth/login", person{email, "Wrong-canary-1"}.form())
}

// spend charges n wrong passwords to an address without hashing.
func (s *service) spend(email string, n int) {
	s.t.Helper()
	s.exec(`insert into guess_budgets (subject, kind, charged) values (sha256(convert_to('password', 'UTF8') || '\x00' || convert_to($1, 'UTF8')), 'password', $2)
		on conflict (subject) do update set charged = guess_budgets.window_start + excluded.charged`, email, n)
}

// exhaust spends all attempts of an address.
func (s *service) exhaust(email string) {
	s.t.Helper()
	s.spend(email, 9)
	s.want(s.guess(email), http.StatusUnauthorized)
}

// asStranger makes the test's network unknown to all users.
func (s *service) asStranger() { s.exec(`delete from known_networks`) }

func (s *service) lockEnds() { s.exec(`update guess_budgets set locked_until = now()`) }

// Every spelling of an address has the same budget.
func TestTenWrongPasswordsLockAnAddress(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p, unknown := s.user(), newPerson()
	tokens := s.login(p)
	s.asStranger()
	s.spend(p.email, 9)
	s.want(s.guess(strings.ToUpper(p.email)), http.StatusUnauthorized)
	s.exhaust(unknown.email)
	known := s.want(s.post("/auth/login", p.form()), http.StatusTooManyRequests)
	stranger := s.want(s.post("/auth/login", unknown.form()), http.StatusTooManyRequests)
	if known.Body != stranger.Body || known.body["detail"] == "" || len(known.Header) != len(stranger.Header) {
		t.Errorf("known: %s %v, unknown: %s %v", known.Body, known.Header, stranger.Body, stranger.Header)
	}
	for _, a := range []answer{known, stranger} {
		if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 60 {
			t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
		}
	}
	s.want(s.profile(tokens.access), http.StatusOK)
	s.want(s.refresh(tokens.refresh), http.StatusOK)
	s.lockEnds()
	s.login(p)
}

// In a pool without permits, a request waits for a hash until its deadline.
func TestRequestTimeEndsARequestThatWaitsForAHash(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	s.requestTime = 300 * time.Millisecond
	slow := s.replicaOver(oldKey, slowhash.NewPool(0, 10))
	for range 2 {
		if a := s.want(slow.post("/auth/login", p.form()), http.StatusServiceUnavailable); a.Header.Get("Retry-After") == "" || a.body["detail"] == "" {
			t.Errorf("got %s %v", a.Body, a.Header)
		}
	}
	s.want(slow.post("/auth/signup", newPerson().form()), http.StatusServiceUnavailable)
	slow.want(slow.request(http.MethodGet, "/auth/verification-status?email="+p.email, nil), http.StatusOK)
}

func TestOverloadedLoginIsRefusedAndNotCharged(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	full := s.replicaOver(oldKey, slowhash.NewPool(0, 0))
	for range 11 {
		s.want(full.post("/auth/login", p.form()), http.StatusServiceUnavailable)
		s.want(full.post("/auth/login", "{"), http.StatusUnprocessableEntity)
	}
	if n := one[int](s.deployment, `select count(*) from guess_budgets`); n != 0 {
		t.Errorf("%d budgets were charged", n)
	}
}

// challenged enters the right password and returns the challenge.
func (s *service) challenged(o guarded) (challenge string) {
	s.t.Helper()
	a := s.want(s.post("/auth/login", o.form()), http.StatusUnauthorized)
	mfa, _ := a.body["mfa"].(map[string]any)
	challenge, _ = mfa["challenge_token"].(string)
	if challenge == "" {
		s.t.Errorf("want a challenge, got %s", a.Body)
	}
	return challenge
}

func (s *service) answers(challenge, code string) answer {
	s.t.Helper()
	return s.post("/auth/mfa/challenge", map[string]any{"challenge_token": challenge, "code": code})
}

func TestLoginWithASecondFactor(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o := s.guarded()
	sessions := one[int](s.deployment, `select count(*) from user_sessions`)
	asked := time.Now()
	a := s.want(s.post("/auth/login", o.form()), http.StatusUnauthorized)
	mfa := a.body["mfa"].(map[string]any)
	if a.body["success"] != false || a.body["user"] != nil || a.body["session"] != nil || a.body["error"] != "A second factor is needed" || len(mfa) != 3 ||
		fmt.Sprint(mfa["methods"]) != "[totp recovery_code]" || a.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("got %s %v", a.Body, a.Header)
	}
	if left := time.Unix(int64(mfa["expires_at"].(float64)), 0).Sub(asked); left < 4*time.Minute || left > 6*time.Minute {
		t.Errorf("the challenge is valid for %s", left)
	}
	challenge := mfa["challenge_token"].(string)
	s.want(s.profile(challenge), http.StatusUnauthorized)
	s.want(s.refresh(challenge), http.StatusUnauthorized)
	if n := one[int](s.deployment, `select count(*) from user_sessions`); n != sessions {
		t.Error("a session was opened")
	}
	if wrong := s.want(s.answers(challenge, s.wrong(o)), http.StatusUnauthorized); wrong.body["success"] != false || wrong.body["error"] == "" || wrong.body["session"] != nil {
		t.Errorf("got %s", wrong.Body)
	}
	// Another replica can answer the challenge.
	in := s.want(s.replica(oldKey).answers(challenge, s.next(o)), http.StatusOK)
	tokens := s.pairOf(in)
	if user := in.body["user"].(map[string]any); in.body["success"] != true || in.body["error"] != nil || user["id"] != o.id || in.body["mfa"] != nil {
		t.Errorf("got %s", in.Body)
	}
	for _, access := range []string{tokens.access, s.pairOf(s.refresh(tokens.refresh)).access} {
		s.want(s.profile(access), http.StatusOK)
		if claims, _ := s.claimsOf(access); fmt.Sprint(claims.AMR) != "[pwd otp mfa]" {
			t.Errorf("amr is %v", claims.AMR)
		}
	}
	if n := s.trail("login.challenged", o.id); n != 1 {
		t.Errorf("%d audit rows of challenges", n)
	}
	claims, _ := s.claimsOf(tokens.access)
	const trail = `select count(*) from audit where action = 'session.created' and actor_id = $1 and target_id = $2 and details = '{"amr": ["pwd", "otp", "mfa"]}'`
	if n := one[int](s.deployment, trail, o.id, claims.SessionID); n != 1 {
		t.Errorf("%d audit rows of sessions", n)
	}
}

func TestSecondFactorIsRevealedOnlyAfterTheRightPassword(t *testing.T) {
	t.Parallel()
	s := newService(t)
	with, without := s.guarded(), s.user()
	a, b := s.post("/auth/login", person{with.email, "Wrong-canary-1"}.form()), s.post("/auth/login", person{without.email, "Wrong-canary-1"}.form())
	if a.Status != http.StatusUnauthorized || a.Body != b.Body || len(a.Header) != len(b.Header) {
		t.Errorf("with: %s without: %s", a.Body, b.Body)
	}
	// An unconfirmed address is reported first.
	s.exec(`update users set email_confirmed_at = null where id = $1`, with.id)
	if a := s.want(s.post("/auth/login", with.form()), http.StatusUnauthorized); a.body["mfa"] != nil || !strings.Contains(a.Body, "not confirmed") {
		t.Errorf("got %s", a.Body)
	}
}

func TestInvalidChallengesAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o, other := s.guarded(), s.guarded()
	used := s.challenged(o)
	s.pairOf(s.answers(used, s.next(o)))
	foreign := s.challenged(other)
	for name, challenge := range map[string]string{
		"used": used, "unknown": token.New(token.Challenge).Reveal(), "empty": "", "a refresh token": o.refresh, "an access token": o.access,
		"changed": foreign[:len(foreign)-1] + "x", "upper case": strings.ToUpper(foreign), "of another user": foreign,
	} {
		a := s.answers(challenge, s.next(o))
		if a.Status != http.StatusUnauthorized || a.body["success"] != false || a.body["session"] != nil || a.body["mfa"] != nil {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
}

func TestResetPasswordKeepsTheSecondFactor(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	o := s.guarded()
	before := s.challenged(o)
	s.want(s.forgot(o.email), http.StatusOK)
	o.password = newPerson().password
	s.want(s.reset(box.Last(o.email, 3).Token, o.password), http.StatusOK)
	s.want(s.answers(before, s.next(o)), http.StatusUnauthorized)
	s.pairOf(s.answers(s.challenged(o), s.next(o)))
	s.pairOf(s.answers(s.challenged(o), o.recovery[0]))
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := s.login(s.user())
	seen := map[string]bool{tokens.refresh: true}
	for range 5 {
		next := s.pairOf(s.refresh(tokens.refresh))
		if seen[next.refresh] || next.access == tokens.access {
			t.Error("a token was issued twice")
		}
		seen[next.refresh] = true
		s.want(s.profile(next.access), http.StatusOK)
		tokens = next
	}
	if n := one[int](s.deployment, `select current_number from user_sessions where revoked_at is null`); n != 6 {
		t.Errorf("current_number is %d", n)
	}
}

func TestReuseOfARefreshTokenEndsTheSession(t *testing.T) {
	t.Parallel()
	s := newService(t)
	first := s.login(s.user())
	second := s.pairOf(s.refresh(first.refresh))
	third := s.pairOf(s.refresh(second.refresh))
	refused := s.want(s.refresh(first.refresh), http.StatusUnauthorized)
	if refused.body["success"] != false || refused.body["user"] != nil || refused.body["session"] != nil || refused.body["error"] == "" {
		t.Errorf("got %s", refused.Body)
	}
	for _, tokens := range []pair{first, second, third} {
		if a := s.want(s.refresh(tokens.refresh), http.StatusUnauthorized); a.Body != refused.Body {
			t.Errorf("got %s", a.Body)
		}
		s.want(s.profile(tokens.access), http.StatusUnauthorized)
	}
}

func TestRefreshIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := s.login(s.user())
	for name, presented := range map[string]string{
		"empty": "", "text": "none of ours", "unknown": token.New(token.Refresh).Reveal(),
		"access token": tokens.access, "another kind of token": token.New(token.APIKey).Reveal(), "changed": tokens.refresh[:len(tokens.refresh)-1] + "x",
		"longer": tokens.refresh + "0", "upper case": "CSR" + tokens.refresh[3:], "very long": tokens.refresh + strings.Repeat("0", 16000),
	} {
		a := s.refresh(presented)
		if a.Status != http.StatusUnauthorized || a.body["success"] != false || a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	next := s.pairOf(s.refresh(tokens.refresh))
	s.exec(`update user_sessions set expires_at = now()`)
	s.want(s.refresh(next.refresh), http.StatusUnauthorized)
	s.want(s.refresh(tokens.refresh), http.StatusUnauthorized)
	s.want(s.profile(next.access), http.StatusUnauthorized)
	if n := one[int](s.deployment, `select count(*) from user_sessions where revoked_at is not null`); n != 0 {
		t.Error("the use of an expired token counts as reuse")
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	elsewhere, first := s.login(p), s.login(p)
	second := s.pairOf(s.refresh(first.refresh))
	claims, _ := s.claimsOf(second.access)
	for range 2 { // the second time, the session has already ended
		if a := s.want(s.logout(second.access), http.StatusOK); len(a.body) != 1 || a.body["message"] == "" {
			t.Errorf("got %s", a.Body)
		}
	}
	s.want(s.logout(first.access), http.StatusOK)
	for _, ended := range []pair{first, second} {
		s.want(s.profile(ended.access), http.StatusUnauthorized)
		s.want(s.refresh(ended.refresh), http.StatusUnauthorized)
	}
	const trail = `select count(*) from audit where action = 'session.ended' and actor_kind = 'user' and actor_id = $1 and target_id = $2`
	if n := one[int](s.deployment, trail, claims.Subject, claims.SessionID); n != 1 {
		t.Errorf("%d rows in the audit trail", n)
	}
	if why := one[string](s.deployment, `select revoked_why from user_sessions where revoked_at is not null`); why != "logout" {
		t.Errorf("revoked_why is %s", why)
	}
	s.want(s.profile(elsewhere.access), http.StatusOK)
}

func TestLogoutWithAnExpiredToken(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := s.login(s.user())
	expired := s.minted(tokens.access, func(c *accesstoken.Claims) { c.ExpiresAt = late(24 * time.Hour) })
	s.want(s.profile(expired), http.StatusUnauthorized)
	s.want(s.logout(expired), http.StatusOK)
	s.want(s.refresh(tokens.refresh), http.StatusUnauthorized)
}

func TestLogoutRefusesForgedTokens(t *testing.T) {
	t.Parallel()
	s := newService(t)
	tokens := s.login(s.user())
	bad := s.forgeries(tokens.access)
	bad["empty"], bad["the refresh token"] = "", tokens.refresh
	for name, text := range bad {
		if a := s.logout(text); a.Status != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	s.want(s.profile(tokens.access), http.StatusOK)
}
