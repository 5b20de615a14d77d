package api_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/services/auth/internal/kyc"
)

const kycBearer = "bearer-canary-0123456789"

// kycSecrets are the secrets of the tests' replicas. Onfido is not configured.
var kycSecrets = kyc.Config{
	Vendors: kyc.Vendors{
		Sumsub: kyc.Sumsub{Secrets: []string{"sumsub-canary-new", "sumsub-canary-old"}}, Persona: kyc.Persona{Secrets: []string{"persona-canary"}},
		Veriff: kyc.Veriff{Secrets: []string{"veriff-canary"}},
	},
	Bearer: []string{kycBearer},
}

func hexMAC(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// sumsubHeaders returns the headers with Sumsub's signature of a body.
func sumsubHeaders(secret, body string) []string {
	return []string{"X-Payload-Digest", hexMAC(secret, body), "X-Payload-Digest-Alg", "HMAC_SHA256_HEX"}
}

func veriffHeaders(secret, body string) []string {
	return []string{"X-HMAC-SIGNATURE", hexMAC(secret, body), "X-AUTH-CLIENT", "8a6c1f2e"}
}

// review is an event of Sumsub about a user. Each has another applicant, so that it is another event.
func review(user, kind, result string, at time.Time) string {
	return fmt.Sprintf(`{"applicantId":%q,"externalUserId":%q,"type":%q,"levelName":"basic-kyc-level","reviewResult":%s,"createdAtMs":%q}`,
		uuid.NewString(), user, kind, result, at.UTC().Format("2006-01-02 15:04:05.000"))
}

const (
	green = `{"reviewAnswer":"GREEN"}`
	final = `{"reviewAnswer":"RED","reviewRejectType":"FINAL","rejectLabels":["FORGERY"]}`
	retry = `{"reviewAnswer":"RED","reviewRejectType":"RETRY","rejectLabels":["BAD_SELFIE"]}`
)

// webhook sends a body with headers, and checks the status. The body of a 200 must be null.
func (s *service) webhook(body string, status int, headers ...string) answer {
	s.t.Helper()
	a := s.want(s.post("/api/kyc/webhook", body, headers...), status)
	if status == http.StatusOK && strings.TrimSpace(a.Body) != "null" {
		s.t.Errorf("answered %s", a.Body)
	}
	return a
}

// sumsub sends an event with a valid signature of Sumsub.
func (s *service) sumsub(body string) {
	s.t.Helper()
	s.webhook(body, http.StatusOK, sumsubHeaders("sumsub-canary-new", body)...)
}

// signedIn is a user with an access token.
type signedIn struct{ id, token string }

func (s *service) signedIn() signedIn {
	s.t.Helper()
	p := s.user()
	return signedIn{one[string](s.deployment, `select id from users where email = $1`, p.email), s.login(p).access}
}

func (s *service) wantKYC(u signedIn, status string) map[string]any {
	s.t.Helper()
	state := s.want(s.request(http.MethodGet, "/api/kyc/", nil, "Authorization", "Bearer "+u.token), http.StatusOK).body
	if state["status"] != status {
		s.t.Errorf("want %s, got %v", status, state)
	}
	return state
}

func (s *service) events() int {
	s.t.Helper()
	return one[int](s.deployment, `select count(*) from kyc_events`)
}

func TestKYCStatus(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u, other := s.signedIn(), s.signedIn()
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
	// A vendor can replace a final result.
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
		t.Errorf("%d audit rows", n)
	}
	s.want(s.request(http.MethodGet, "/api/kyc/", nil), http.StatusUnauthorized)
}

func TestWebhookIsAcceptedWithAnyContentType(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u := s.signedIn()
	body := review(u.id, "applicantPending", `{}`, time.Now())
	s.webhook(body, http.StatusOK, append(sumsubHeaders("sumsub-canary-old", body), "Content-Type", "text/plain")...)
	s.wantKYC(u, "pending")
}

func TestWebhookWithoutAValidSignatureIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u := s.signedIn()
	body := review(u.id, "applicantReviewed", green, time.Now())
	var decoded map[string]any
	must(t, json.Unmarshal([]byte(body), &decoded))
	reencoded, err := json.Marshal(decoded)
	must(t, err)
	old := time.Now().Add(-301 * time.Second).Unix()
	valid, join := sumsubHeaders("sumsub-canary-new", body), func(some, more []string) []string { return append(append([]string{}, some...), more...) }
	for name, headers := range map[string][]string{
		"another secret":                       sumsubHeaders("sumsub-canary", body),
		"an empty secret":                      sumsubHeaders("", body),
		"of the same fields, encoded again":    sumsubHeaders("sumsub-canary-new", string(reencoded)),
		"of another body":                      sumsubHeaders("sumsub-canary-new", body+" "),
		"Veriff's secret, Sumsub's headers":    sumsubHeaders("veriff-canary", body),
		"Sumsub's secret, Veriff's headers":    veriffHeaders("sumsub-canary-new", body),
		"two vendors, both valid":              join(valid, veriffHeaders("veriff-canary", body)),
		"two vendors, the second empty":        join(valid, []string{"X-SHA2-Signature", " "}),
		"a vendor that is not configured":      {"X-SHA2-Signature", hexMAC("", body)},
		"only the algorithm":                   {"X-Payload-Digest-Alg", "HMAC_SHA256_HEX"},
		"only the client":                      {"X-AUTH-CLIENT", "8a6c1f2e"},
		"an old signature":                     {"Persona-Signature", fmt.Sprintf("t=%d,v1=%s", old, hexMAC("persona-canary", fmt.Sprintf("%d.%s", old, body)))},
		"another bearer token":                 {"Authorization", "Bearer " + kycBearer + "0", "X-KYC-Provider", "sumsub"},
		"a user's access token":                {"Authorization", "Bearer " + u.token, "X-KYC-Provider", "sumsub"},
		"a bearer token and a wrong signature": join(sumsubHeaders("sumsub-canary", body), []string{"Authorization", "Bearer " + kycBearer, "X-KYC-Provider", "sumsub"}),
	} {
		if a := s.webhook(body, http.StatusUnauthorized, headers...); a.body["detail"] != "Invalid, expired or revoked credentials" {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	if a := s.webhook(body, http.StatusUnauthorized); a.body["detail"] != "Not authenticated" {
		t.Errorf("no credential: %s", a.Body)
	}
	// Only a request with a valid signature learns what is wrong with its body.
	s.webhook("{", http.StatusUnauthorized, sumsubHeaders("sumsub-canary", "{")...)
	s.webhook("{", http.StatusBadRequest, sumsubHeaders("sumsub-canary-new", "{")...)
	s.webhook("", http.StatusBadRequest, sumsubHeaders("sumsub-canary-new", "")...)
	s.webhook(body, http.StatusBadRequest, "Authorization", "Bearer "+kycBearer)
	s.webhook(body, http.StatusBadRequest, "Authorization", "Bearer "+kycBearer, "X-KYC-Provider", "bearer")
	s.wantKYC(u, "not_started")
	if n := s.events(); n != 0 {
		t.Errorf("%d events", n)
	}
	// Equal refusals are recorded at most once a minute.
	for range 3 {
		s.webhook(body, http.StatusUnauthorized, sumsubHeaders("sumsub-canary", body)...)
	}
	const q = `select count(*) from audit where action = 'kyc.refused' and details->>'provider' = 'sumsub' and details->>'why' = 'signature'`
	if n := one[int](s.deployment, q); n != 1 {
		t.Errorf("%d audit rows of refusals", n)
	}
	for _, secret := range []string{"sumsub-canary", "persona-canary", "veriff-canary", kycBearer} {
		s.server.NeverLogged(secret)
	}
}

func TestWebhookBodyIsLimitedTo1MiB(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u := s.signedIn()
	event := review(u.id, "applicantReviewed", green, time.Now())
	largest := event + strings.Repeat(" ", 1<<20-len(event))
	s.sumsub(largest)
	s.wantKYC(u, "approved")
	tooLarge := largest + " "
	for name, headers := range map[string][]string{
		"a valid signature": sumsubHeaders("sumsub-canary-new", tooLarge), "a wrong signature": sumsubHeaders("sumsub-canary", tooLarge),
		"a bearer token": {"Authorization", "Bearer " + kycBearer, "X-KYC-Provider", "sumsub"},
	} {
		if a := s.webhook(tooLarge, http.StatusRequestEntityTooLarge, headers...); a.body["detail"] != "Request body too large" {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	s.webhook(tooLarge, http.StatusUnauthorized)
}

// A vendor repeats a webhook that was answered with 500.
func TestWebhookThatIsNotStoredIsAnsweredWith500(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u := s.signedIn()
	body := review(u.id, "applicantReviewed", green, time.Now())
	s.exec(`alter table audit rename to hidden`)
	signature := sumsubHeaders("sumsub-canary-new", body)
	a, err := s.server.Try(webtest.Request{Method: http.MethodPost, Path: "/api/kyc/webhook", Body: body, Header: map[string]string{
		signature[0]: signature[1], signature[2]: signature[3]}})
	must(t, err)
	if a.Status != http.StatusInternalServerError || s.events() != 0 {
		t.Errorf("without an audit row: %d, and %d events", a.Status, s.events())
	}
	s.exec(`alter table hidden rename to audit`)
	s.sumsub(body)
	s.wantKYC(u, "approved")
}

func TestKYCHealth(t *testing.T) {
	t.Parallel()
	s := newService(t)
	a := s.want(s.request(http.MethodGet, "/api/kyc/health", nil), http.StatusOK)
	configured := kyc.New(kycSecrets, nil, prometheus.NewRegistry()).Configured()
	if got, want := fmt.Sprint(a.body), fmt.Sprintf("map[providers:%v status:ok]", configured); got != want || !configured["sumsub"] || !configured["bearer"] || configured["onfido"] {
		t.Errorf("got %s, want %s", got, want)
	}
	s.settings.KYC = kyc.Config{}
	disabled := s.replica(oldKey)
	if a := disabled.want(disabled.request(http.MethodGet, "/api/kyc/health/", nil), http.StatusOK); a.body["status"] != "disabled" {
		t.Errorf("got %s", a.Body)
	}
	body := review(uuid.NewString(), "applicantReviewed", green, time.Now())
	disabled.webhook(body, http.StatusUnauthorized, sumsubHeaders("", body)...)
	disabled.webhook(body, http.StatusUnauthorized, "Authorization", "Bearer x", "X-KYC-Provider", "sumsub")
}
