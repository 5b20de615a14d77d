package api_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/services/auth/internal/kyc"
)

const kycBearer = "bearer-canary-0123456789"

// kycSecrets are those of the tests' replicas. Onfido is not configured.
var kycSecrets = kyc.Config{
	Sumsub: []string{"sumsub-canary-new", "sumsub-canary-old"}, Persona: []string{"persona-canary-new", "persona-canary-old"},
	Veriff: []string{"veriff-canary"}, Bearer: []string{kycBearer},
}

func inHex(algorithm func() hash.Hash, secret, text string) string {
	mac := hmac.New(algorithm, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// The headers by which each vendor signs.
func sumsubSigns(secret, body string) []string {
	return []string{"X-Payload-Digest", inHex(sha256.New, secret, body), "X-Payload-Digest-Alg", "HMAC_SHA256_HEX"}
}

func personaSigns(at time.Time, body string, secrets ...string) []string {
	var sets []string
	for _, secret := range secrets {
		sets = append(sets, fmt.Sprintf("t=%d,v1=%s", at.Unix(), inHex(sha256.New, secret, fmt.Sprintf("%d.%s", at.Unix(), body))))
	}
	return []string{"Persona-Signature", strings.Join(sets, " ")}
}

func veriffSigns(secret, body string) []string {
	return []string{"X-HMAC-SIGNATURE", inHex(sha256.New, secret, body), "X-AUTH-CLIENT", "8a6c1f2e"}
}

// review is what Sumsub says about a user at a moment. Each has an applicant of its own, to be another event.
func review(user, kind, result string, at time.Time) string {
	return fmt.Sprintf(`{"applicantId":%q,"externalUserId":%q,"type":%q,"levelName":"basic-kyc-level","reviewResult":%s,"createdAtMs":%q}`,
		uuid.NewString(), user, kind, result, at.UTC().Format("2006-01-02 15:04:05.000"))
}

const (
	green = `{"reviewAnswer":"GREEN"}`
	final = `{"reviewAnswer":"RED","reviewRejectType":"FINAL","rejectLabels":["FORGERY"]}`
	retry = `{"reviewAnswer":"RED","reviewRejectType":"RETRY","rejectLabels":["BAD_SELFIE"]}`
)

// webhook sends a body with headers, and fails unless the answer is as wanted; 200 is always null.
func (s *service) webhook(body string, status int, headers ...string) answer {
	s.t.Helper()
	a := s.want(s.post("/api/kyc/webhook", body, headers...), status)
	if status == http.StatusOK && strings.TrimSpace(a.Body) != "null" {
		s.t.Errorf("answered %s", a.Body)
	}
	return a
}

// sumsub sends what Sumsub would.
func (s *service) sumsub(body string) {
	s.t.Helper()
	s.webhook(body, http.StatusOK, sumsubSigns("sumsub-canary-new", body)...)
}

// identified is a user with an access token.
type identified struct{ id, token string }

func (s *service) identified() identified {
	s.t.Helper()
	p := s.user()
	return identified{one[string](s.deployment, `select id from users where email = $1`, p.email), s.login(p).access}
}

func (s *service) kycOf(u identified) map[string]any {
	s.t.Helper()
	return s.want(s.request(http.MethodGet, "/api/kyc/", nil, "Authorization", "Bearer "+u.token), http.StatusOK).body
}

func (s *service) wantKYC(u identified, status string) map[string]any {
	s.t.Helper()
	state := s.kycOf(u)
	if state["status"] != status {
		s.t.Errorf("want %s, got %v", status, state)
	}
	return state
}

func (s *service) events() int {
	s.t.Helper()
	return one[int](s.deployment, `select count(*) from kyc_events`)
}

func TestKYCFromNothingToAResultAndBack(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u, other := s.identified(), s.identified()
	start := time.Now().Add(-time.Hour)
	state := s.wantKYC(u, "not_started")
	if state["provider"] != nil || state["level"] != nil || state["reviewed_at"] != nil || state["updated_at"] != nil || state["can_retry"] != false {
		t.Errorf("got %v", state)
	}
	s.sumsub(review(u.id, "applicantPending", `{}`, start))
	if state := s.wantKYC(u, "pending"); state["provider"] != "sumsub" || state["level"] != "basic-kyc-level" || state["reviewed_at"] != nil || state["updated_at"] == nil {
		t.Errorf("got %v", state)
	}
	s.sumsub(review(u.id, "applicantOnHold", `{}`, start.Add(time.Second)))
	s.wantKYC(u, "on_hold")
	s.sumsub(review(u.id, "applicantReviewed", retry, start.Add(2*time.Second)))
	if state := s.wantKYC(u, "resubmission_requested"); state["can_retry"] != true || fmt.Sprint(state["reject_labels"]) != "[BAD_SELFIE]" {
		t.Errorf("got %v", state)
	}
	approved := start.Add(3 * time.Second)
	s.sumsub(review(u.id, "applicantReviewed", green, approved))
	state = s.wantKYC(u, "approved")
	if reviewed, err := time.Parse(time.RFC3339, fmt.Sprint(state["reviewed_at"])); err != nil || !reviewed.Equal(approved.Truncate(time.Millisecond)) {
		t.Errorf("reviewed at %v", state["reviewed_at"])
	}
	// A final result can be reversed later.
	s.sumsub(review(u.id, "applicantReviewed", final, start.Add(4*time.Second)))
	if state := s.wantKYC(u, "rejected"); state["can_retry"] != false || fmt.Sprint(state["reject_labels"]) != "[FORGERY]" {
		t.Errorf("got %v", state)
	}
	s.wantKYC(other, "not_started")
	history, _ := s.want(s.as(u.token, http.MethodGet, "/auth/export", nil), http.StatusOK).body["kyc_events"].([]any)
	if len(history) != 5 || history[0].(map[string]any)["status"] != "rejected" || history[4].(map[string]any)["type"] != "applicantPending" {
		t.Errorf("exported %v", history)
	}
	const q = `select count(*) from audit where action = 'kyc.event' and target_id = $1 and details = '{"provider": "sumsub"}'`
	if n := one[int](s.deployment, q, u.id); n != 5 {
		t.Errorf("%d rows in the audit trail", n)
	}
	s.want(s.request(http.MethodGet, "/api/kyc/", nil), http.StatusUnauthorized)
}

func TestTheOrderOfArrivalMakesNoDifference(t *testing.T) {
	t.Parallel()
	s := newService(t)
	start := time.Now().Add(-time.Hour)
	for range 4 {
		u := s.identified()
		events := []string{
			review(u.id, "applicantPending", `{}`, start), review(u.id, "applicantReviewed", green, start.Add(time.Second)),
			review(u.id, "applicantReviewed", final, start.Add(time.Second+time.Millisecond)),
			// At the same millisecond the graver counts.
			review(u.id, "applicantReviewed", green, start.Add(time.Second+time.Millisecond)),
			review(u.id, "applicantPending", `{}`, start.Add(time.Second+time.Millisecond)),
		}
		events = append(events, events...)
		rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		for _, event := range events {
			s.sumsub(event)
		}
		s.wantKYC(u, "rejected")
	}
}

func TestTheSameWebhookManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u := s.identified()
	body := review(u.id, "applicantReviewed", green, time.Now())
	var wait sync.WaitGroup
	for range 200 {
		wait.Go(func() { s.sumsub(body) })
	}
	wait.Wait()
	s.wantKYC(u, "approved")
	if n := s.events(); n != 1 {
		t.Errorf("%d events", n)
	}
	if n := one[int](s.deployment, `select count(*) from audit where action = 'kyc.event'`); n != 1 {
		t.Errorf("%d changes in the audit trail", n)
	}
}

func TestAnEventMayComeBeforeItsUserAndGoesWithIt(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u := s.identified()
	later := uuid.New()
	s.sumsub(review(later.String(), "applicantReviewed", green, time.Now()))
	s.wantKYC(u, "not_started")
	s.sumsub(review(u.id, "applicantReviewed", green, time.Now()))
	s.want(s.as(u.token, http.MethodDelete, "/auth/account", nil), http.StatusNoContent)
	if n := s.events(); n != 1 {
		t.Errorf("%d events when the first user is gone", n)
	}
	s.exec(`insert into users (id, email, password_hash, email_confirmed_at) values ($1, 'later@example.test', 'x', now())`, later)
	if status := one[string](s.deployment, `select status from kyc_states where user_id = $1`, later); status != "approved" {
		t.Errorf("the user who came later is %s", status)
	}
	s.exec(`delete from users where id = $1`, later)
	if n := s.events(); n != 0 {
		t.Errorf("%d events are left of a user who is gone", n)
	}
}

func TestEventsThatSayNothing(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u := s.identified()
	now := time.Now()
	for _, body := range []string{
		review(u.id, "applicantActionReviewed", green, now), review(u.id, "", green, now), review("canary@example.test", "applicantReviewed", green, now),
		review("", "applicantReviewed", green, now), `{}`, `null`, `[]`, `{"type":"somethingNew","createdAtMs":5}`,
	} {
		s.sumsub(body)
	}
	s.wantKYC(u, "not_started")
	if n := s.events(); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestEveryVendorIsUnderstood(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u := s.identified()
	now := time.Now().UTC().Truncate(time.Millisecond)
	inquiry := func(name string, at time.Time) string {
		return fmt.Sprintf(`{"data":{"id":"evt_%s","attributes":{"name":%q,"created-at":%q,"payload":{"data":{"attributes":{"reference-id":%q}}}}}}`,
			strings.ReplaceAll(uuid.NewString(), "-", ""), name, at.Format(time.RFC3339Nano), u.id)
	}
	approved := inquiry("inquiry.approved", now.Add(-4*time.Minute))
	s.webhook(approved, http.StatusOK, personaSigns(now, approved, "persona-canary-old")...)
	if state := s.wantKYC(u, "approved"); state["provider"] != "persona" {
		t.Errorf("got %v", state)
	}
	// The same event again, with other bytes around it.
	again := " " + strings.Replace(approved, "inquiry.approved", "inquiry.declined", 1)
	s.webhook(again, http.StatusOK, personaSigns(now, again, "persona-canary-new", "persona-canary-old")...)
	s.wantKYC(u, "approved")

	declined := fmt.Sprintf(`{"verification":{"status":"declined","reasonCode":106,"vendorData":%q,"decisionTime":%q}}`, strings.ToUpper(u.id), now.Add(-3*time.Minute).Format(time.RFC3339Nano))
	s.webhook(declined, http.StatusOK, veriffSigns("veriff-canary", declined)...)
	if state := s.wantKYC(u, "rejected"); state["provider"] != "veriff" || fmt.Sprint(state["reject_labels"]) != "[106]" {
		t.Errorf("got %v", state)
	}
	run := fmt.Sprintf(`{"payload":{"action":"workflow_run.completed","object":{"status":"approved","completed_at_iso8601":%q},"resource":{"customer_user_id":%q}}}`,
		now.Add(-2*time.Minute).Format(time.RFC3339), u.id)
	s.webhook(run, http.StatusUnauthorized, "X-SHA2-Signature", inHex(sha256.New, "", run))
	s.webhook(run, http.StatusOK, "Authorization", "Bearer "+kycBearer, "X-KYC-Provider", "onfido")
	if state := s.wantKYC(u, "approved"); state["provider"] != "onfido" {
		t.Errorf("got %v", state)
	}
	for algorithm, hash := range map[string]func() hash.Hash{"HMAC_SHA1_HEX": sha1.New, "HMAC_SHA256_HEX": sha256.New, "HMAC_SHA512_HEX": sha512.New} {
		body := review(u.id, "applicantPending", `{}`, now)
		s.webhook(body, http.StatusOK, "X-Payload-Digest", inHex(hash, "sumsub-canary-old", body), "X-Payload-Digest-Alg", algorithm, "Content-Type", "text/plain")
	}
	s.wantKYC(u, "pending")
}
