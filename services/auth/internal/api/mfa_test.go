package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pquerna/otp/hotp"
)

// guarded is a user with a second factor and a session.
type guarded struct {
	person
	pair
	id, secret string
	recovery   []string
}

func (s *service) enrol(access string) (secret string) {
	s.t.Helper()
	secret, _ = s.want(s.as(access, "POST", "/auth/mfa/totp", nil), http.StatusOK).body["secret"].(string)
	return secret
}

func (s *service) confirm(access, code string) answer {
	s.t.Helper()
	return s.as(access, "POST", "/auth/mfa/totp/confirm", map[string]any{"code": code})
}

func (s *service) stepUp(access string, body map[string]any) answer {
	s.t.Helper()
	return s.as(access, "POST", "/auth/step-up", body)
}

func (s *service) remove(access, code string) answer {
	s.t.Helper()
	return s.as(access, "DELETE", "/auth/mfa/totp", map[string]any{"code": code})
}

func (s *service) renewCodes(access, code string) answer {
	s.t.Helper()
	return s.as(access, "POST", "/auth/mfa/recovery-codes", map[string]any{"code": code})
}

// code returns the code that an app shows that many time steps from now.
func (s *service) code(secret string, steps int) string {
	s.t.Helper()
	code, err := hotp.GenerateCode(secret, uint64(s.now().Unix()/30+int64(steps)))
	must(s.t, err)
	return code
}

// next returns a code that was not used yet.
func (s *service) next(o guarded) string {
	s.t.Helper()
	s.clock.Add(30)
	return s.code(o.secret, 0)
}

// wrong returns a code that the app does not show in the next steps.
func (s *service) wrong(o guarded) string {
	s.t.Helper()
	for i := range 1_000_000 {
		code := fmt.Sprintf("%06d", i)
		if !slices.ContainsFunc([]int{-2, -1, 0, 1, 2}, func(step int) bool { return s.code(o.secret, step) == code }) {
			return code
		}
	}
	return ""
}

// guarded returns a new user with a second factor.
func (s *service) guarded() guarded {
	s.t.Helper()
	o := guarded{person: s.user()}
	o.pair = s.login(o.person)
	o.id = one[string](s.deployment, `select id from users where email = $1`, o.email)
	o.secret = s.enrol(o.access)
	for _, code := range s.want(s.confirm(o.access, s.code(o.secret, 0)), http.StatusOK).body["recovery_codes"].([]any) {
		o.recovery = append(o.recovery, code.(string))
	}
	return o
}

// charged is the number of charged attempts since the last right code.
func (s *service) charged() int {
	s.t.Helper()
	return one[int](s.deployment, `select coalesce(sum(charged - window_start), 0) from guess_budgets where kind like 'second_factor%'`)
}

func (s *service) trail(action, target string) int {
	s.t.Helper()
	return one[int](s.deployment, `select count(*) from audit where action = $1 and target_id = $2`, action, target)
}

func TestEnrolAndConfirmASecondFactor(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	tokens := s.login(p)
	status := func() string { return s.want(s.as(tokens.access, "GET", "/auth/mfa", nil), http.StatusOK).Body }
	const none = `{"active":false,"active_since":null,"recovery_codes_left":0}`
	if got := strings.TrimSpace(status()); got != none {
		t.Errorf("before: %s", got)
	}
	first := s.enrol(tokens.access)
	made := s.want(s.as(tokens.access, "POST", "/auth/mfa/totp", nil), http.StatusOK)
	secret, uri := made.body["secret"].(string), made.body["otpauth_uri"].(string)
	u, err := url.Parse(uri)
	must(t, err)
	if !regexp.MustCompile(`^[A-Z2-7]{32}$`).MatchString(secret) || secret == first || u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/auth.example.test:"+p.email ||
		u.Query().Get("secret") != secret || u.Query().Get("issuer") != "auth.example.test" || u.Query().Get("digits") != "6" || u.Query().Get("period") != "30" {
		t.Errorf("got %s", made.Body)
	}
	// It is not confirmed: logins do not need it, and its codes prove nothing.
	if got := strings.TrimSpace(status()); got != none {
		t.Errorf("enrolled: %s", got)
	}
	elsewhere := s.login(p)
	s.want(s.stepUp(tokens.access, map[string]any{"code": s.code(secret, 0)}), http.StatusConflict)
	s.want(s.remove(tokens.access, s.code(secret, 0)), http.StatusConflict)
	s.want(s.renewCodes(tokens.access, s.code(secret, 0)), http.StatusConflict)

	s.want(s.confirm(tokens.access, s.code(first, 0)), http.StatusForbidden) // a code of the replaced factor
	codes := s.want(s.confirm(tokens.access, s.code(secret, 0)), http.StatusOK).body["recovery_codes"].([]any)
	seen := map[any]bool{}
	for _, code := range codes {
		if seen[code] || !regexp.MustCompile(`^([0-9a-hjkmnp-tv-z]{4}-){3}[0-9a-hjkmnp-tv-z]{4}$`).MatchString(code.(string)) {
			t.Errorf("recovery code %v", code)
		}
		seen[code] = true
	}
	if got := status(); !strings.Contains(got, `"active":true`) || strings.Contains(got, "null") || !strings.Contains(got, `"recovery_codes_left":10`) {
		t.Errorf("confirmed: %s", got)
	}
	s.want(s.confirm(tokens.access, s.code(secret, 1)), http.StatusConflict)
	if a := s.as(tokens.access, "GET", "/auth/export", nil); a.body["second_factor_since"] == nil || strings.Contains(a.Body, secret) {
		t.Errorf("exported: %s", a.Body)
	}
	s.want(s.as(tokens.access, "POST", "/auth/mfa/totp", nil), http.StatusConflict)
	// The other session was opened without the factor.
	s.want(s.profile(elsewhere.access), http.StatusUnauthorized)
	s.want(s.refresh(elsewhere.refresh), http.StatusUnauthorized)
	s.want(s.profile(tokens.access), http.StatusOK)
	id := one[string](s.deployment, `select id from users`)
	for action, want := range map[string]int{"second_factor.enrolled": 2, "second_factor.refused": 1, "second_factor.confirmed": 1} {
		if n := s.trail(action, id); n != want {
			t.Errorf("%d audit rows %s, want %d", n, action, want)
		}
	}
}

// All endpoints of a signed-in user share a budget. Sign-ins share another: a party that knows the password cannot lock sessions.
func TestFiveWrongCodesLockEveryEndpoint(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o := s.guarded()
	challenge := s.challenged(o)
	wrong := s.wrong(o)
	signIns := func(code string) []answer { return []answer{s.answers(challenge, code)} }
	sessions := func(code string) []answer {
		return []answer{s.stepUp(o.access, map[string]any{"code": code}), s.remove(o.access, code), s.renewCodes(o.access, code)}
	}
	locked := func(endpoints func(string) []answer) {
		t.Helper()
		for _, code := range []string{s.next(o), o.recovery[0], wrong} {
			for _, a := range endpoints(code) {
				if a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
					t.Errorf("got %d %s", a.Status, a.Body)
				}
			}
		}
	}
	for range 4 {
		s.want(s.answers(challenge, wrong), http.StatusUnauthorized)
	}
	s.want(s.answers(challenge, "0000-0000-0000-0000"), http.StatusUnauthorized)
	locked(signIns)
	s.want(s.stepUp(o.access, map[string]any{"code": s.next(o)}), http.StatusNoContent)

	s.want(s.stepUp(o.access, map[string]any{"code": wrong}), http.StatusForbidden)
	s.want(s.remove(o.access, wrong), http.StatusForbidden)
	s.want(s.renewCodes(o.access, wrong), http.StatusForbidden)
	s.want(s.renewCodes(o.access, "0000-0000-0000-0000"), http.StatusForbidden)
	s.want(s.stepUp(o.access, map[string]any{"code": wrong}), http.StatusForbidden)
	locked(sessions)
	locked(signIns)
	if n := s.trail("second_factor.refused", o.id); n != 10 {
		t.Errorf("%d audit rows of refusals", n)
	}
	if n := one[int](s.deployment, `select count(*) from audit where action = 'second_factor.refused' and details ->> 'locked' = 'true'`); n != 2 {
		t.Errorf("%d audit rows of locks", n)
	}
	// The next lock is twice as long. A right code ends the lock and forgives the attempts.
	s.exec(`update guess_budgets set locked_until = now()`)
	for range 5 {
		s.want(s.stepUp(o.access, map[string]any{"code": wrong}), http.StatusForbidden)
	}
	locked(sessions)
	if n := one[int](s.deployment, `select count(*) from guess_budgets where locked_until between now() + interval '9 minutes' and now() + interval '10 minutes'`); n != 1 {
		t.Error("the second lock does not last 10 minutes")
	}
	s.exec(`update guess_budgets set locked_until = now()`)
	s.want(s.stepUp(o.access, map[string]any{"code": s.next(o)}), http.StatusNoContent)
	s.pairOf(s.answers(challenge, o.recovery[0]))
	if n := s.charged(); n != 0 {
		t.Errorf("%d attempts are still charged", n)
	}
}

func TestRecoveryCodes(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o := s.guarded()
	tokens := s.pairOf(s.answers(s.challenged(o), o.recovery[0]))
	claims, _ := s.claimsOf(tokens.access)
	if fmt.Sprint(claims.AMR) != "[pwd mfa]" {
		t.Errorf("amr is %v", claims.AMR)
	}
	s.want(s.answers(s.challenged(o), o.recovery[0]), http.StatusUnauthorized)
	s.pairOf(s.answers(s.challenged(o), " "+strings.ToUpper(strings.ReplaceAll(o.recovery[1], "-", " "))))
	if a := s.as(o.access, "GET", "/auth/mfa", nil); a.body["recovery_codes_left"] != float64(8) {
		t.Errorf("got %s", a.Body)
	}
	// They do not work for another user.
	s.want(s.answers(s.challenged(s.guarded()), o.recovery[2]), http.StatusUnauthorized)
	s.want(s.renewCodes(o.access, s.next(o)), http.StatusOK)
	s.want(s.answers(s.challenged(o), o.recovery[2]), http.StatusUnauthorized)
	if a := s.as(o.access, "GET", "/auth/mfa", nil); a.body["recovery_codes_left"] != float64(10) {
		t.Errorf("got %s", a.Body)
	}
	if n := one[int](s.deployment, `select count(*) from audit where action = 'second_factor.proved' and target_id = $1 and details ->> 'recovery_code' = 'true'`, o.id); n != 2 {
		t.Errorf("%d audit rows of recovery codes", n)
	}
}

func TestRemoveASecondFactor(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, show := range []func(guarded) string{s.next, func(o guarded) string { return o.recovery[9] }} {
		o := s.guarded()
		s.want(s.remove(o.access, s.wrong(o)), http.StatusForbidden)
		s.want(s.remove(o.access, show(o)), http.StatusNoContent)
		s.want(s.remove(o.access, s.next(o)), http.StatusConflict)
		s.login(o.person)
		if n := s.trail("second_factor.removed", o.id); n != 1 {
			t.Errorf("%d audit rows", n)
		}
		// The recovery codes of the removed factor do not work for the next one.
		o.secret = s.enrol(o.access)
		s.want(s.confirm(o.access, s.code(o.secret, 0)), http.StatusOK)
		s.want(s.answers(s.challenged(o), o.recovery[5]), http.StatusUnauthorized)
	}
}

func TestMalformedCodesAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o := s.guarded()
	challenge := s.challenged(o)
	for _, code := range []string{
		"", " ", "-", "12345", "1234567", "12345a", "１２３４５６", "٣٤٥٦٧٨", "123456\n", "+12345", "12.345", "0x1234", "1e5000", "abcd-efgh-jkmn-pqr",
		"abcd-efgh-jkmn-pqrst", "abcd-efgh-jkmn-pqro", "abcd_efgh_jkmn_pqrs", "\u212abcd-efgh-jkmn-pqrs", strings.Repeat("1", 65),
	} {
		for _, a := range []answer{
			s.answers(challenge, code), s.answers("nonsense", code), s.stepUp(o.access, map[string]any{"code": code}), s.remove(o.access, code),
			s.confirm(o.access, code), s.renewCodes(o.access, code),
		} {
			if a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, `"loc":["body","code"]`) || len(code) > 1 && strings.Contains(a.Body, code) {
				t.Errorf("%q: got %d %s", code, a.Status, a.Body)
			}
		}
	}
	if n := s.charged(); n != 0 {
		t.Errorf("%d attempts were charged", n)
	}
	for _, form := range []string{"%.3s %s", "%.3s-%s", " %.3s%s ", "%.3s  %s"} {
		code := s.next(o)
		s.want(s.stepUp(o.access, map[string]any{"code": fmt.Sprintf(form, code, code[3:])}), http.StatusNoContent)
	}
}

func TestSecondFactorWithoutItsKey(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o := s.guarded()
	without := s.replica(newKey)
	challenge := s.challenged(o)
	s.want(without.answers(challenge, s.next(o)), http.StatusServiceUnavailable)
	if n := s.charged(); n != 0 {
		t.Errorf("%d attempts were charged", n)
	}
	s.pairOf(without.answers(challenge, o.recovery[0]))
	s.pairOf(s.replica(both).answers(s.challenged(o), s.next(o)))
}
