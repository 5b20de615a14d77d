package api_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/services/auth/internal/kyc"
)

func TestWebhooksThatNobodySigned(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u := s.identified()
	body := review(u.id, "applicantReviewed", green, time.Now())
	var encoded map[string]any
	must(t, json.Unmarshal([]byte(body), &encoded))
	anew, err := json.Marshal(encoded)
	must(t, err)
	now := time.Now()
	good, both := sumsubSigns("sumsub-canary-new", body), func(some, more []string) []string { return append(append([]string{}, some...), more...) }
	for name, headers := range map[string][]string{
		"another secret":                  sumsubSigns("sumsub-canary", body),
		"an empty secret":                 sumsubSigns("", body),
		"of the same fields, encoded new": sumsubSigns("sumsub-canary-new", string(anew)),
		"of another body":                 sumsubSigns("sumsub-canary-new", body+" "),
		"Veriff's signature as Sumsub's":  sumsubSigns("veriff-canary", body),
		"Sumsub's signature as Veriff's":  veriffSigns("sumsub-canary-new", body),
		"two vendors, both right":         both(good, veriffSigns("veriff-canary", body)),
		"two vendors, the second empty":   both(good, []string{"X-SHA2-Signature", " "}),
		"a vendor that is not configured": {"X-SHA2-Signature", inHex(sha256.New, "", body)},
		"the algorithm alone":             {"X-Payload-Digest-Alg", "HMAC_SHA256_HEX"},
		"the client alone":                {"X-AUTH-CLIENT", "8a6c1f2e"},
		"too old":                         personaSigns(now.Add(-301*time.Second), body, "persona-canary-new"),
		"from the future":                 personaSigns(now.Add(310*time.Second), body, "persona-canary-new"),
		"another bearer":                  {"Authorization", "Bearer " + kycBearer + "0", "X-KYC-Provider", "sumsub"},
		"a user's bearer":                 {"Authorization", "Bearer " + u.token, "X-KYC-Provider", "sumsub"},
		"a bearer beside a wrong digest":  both(sumsubSigns("sumsub-canary", body), []string{"Authorization", "Bearer " + kycBearer, "X-KYC-Provider", "sumsub"}),
	} {
		if a := s.webhook(body, http.StatusUnauthorized, headers...); a.body["detail"] != "Invalid, expired or revoked credentials" {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	if a := s.webhook(body, http.StatusUnauthorized); a.body["detail"] != "Not authenticated" {
		t.Errorf("no credential: %s", a.Body)
	}
	// What is wrong with a body is told only to who signed it.
	s.webhook("{", http.StatusUnauthorized, sumsubSigns("sumsub-canary", "{")...)
	s.webhook("{", http.StatusBadRequest, sumsubSigns("sumsub-canary-new", "{")...)
	s.webhook("", http.StatusBadRequest, sumsubSigns("sumsub-canary-new", "")...)
	s.webhook(body, http.StatusBadRequest, "Authorization", "Bearer "+kycBearer)
	s.webhook(body, http.StatusBadRequest, "Authorization", "Bearer "+kycBearer, "X-KYC-Provider", "bearer")
	s.wantKYC(u, "not_started")
	if n := s.events(); n != 0 {
		t.Errorf("%d events", n)
	}
	// Refusals are on record, and no flood of them: the same again within a minute is not.
	for range 3 {
		s.webhook(body, http.StatusUnauthorized, sumsubSigns("sumsub-canary", body)...)
	}
	const q = `select count(*) from audit where action = 'kyc.refused' and details->>'provider' = 'sumsub' and details->>'why' = 'signature'`
	if n := one[int](s.deployment, q); n != 1 {
		t.Errorf("%d refusals in the audit trail", n)
	}
	for _, secret := range []string{"sumsub-canary", "persona-canary", "veriff-canary", kycBearer} {
		s.server.NeverLogged(secret)
	}
}

func TestTheSizeOfAWebhook(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u := s.identified()
	event := review(u.id, "applicantReviewed", green, time.Now())
	whole := event + strings.Repeat(" ", 1<<20-len(event))
	s.sumsub(whole)
	s.wantKYC(u, "approved")
	more := whole + " "
	for name, headers := range map[string][]string{
		"signed": sumsubSigns("sumsub-canary-new", more), "forged": sumsubSigns("sumsub-canary", more),
		"relayed": {"Authorization", "Bearer " + kycBearer, "X-KYC-Provider", "sumsub"},
	} {
		if a := s.webhook(more, http.StatusRequestEntityTooLarge, headers...); a.body["detail"] != "Request body too large" {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	s.webhook(more, http.StatusUnauthorized)
}

func TestOurOwnFailureIsTheVendorsReasonToTryAgain(t *testing.T) {
	t.Parallel()
	s := newService(t)
	u := s.identified()
	body := review(u.id, "applicantReviewed", green, time.Now())
	s.exec(`alter table audit rename to away`)
	signature := sumsubSigns("sumsub-canary-new", body)
	a, err := s.server.Try(webtest.Request{Method: http.MethodPost, Path: "/api/kyc/webhook", Body: body, Header: map[string]string{
		signature[0]: signature[1], signature[2]: signature[3]}})
	must(t, err)
	if a.Status != http.StatusInternalServerError || s.events() != 0 {
		t.Errorf("without its row in the trail: %d, and %d events", a.Status, s.events())
	}
	s.exec(`alter table away rename to audit`)
	s.sumsub(body)
	s.wantKYC(u, "approved")
}

func TestKYCHealth(t *testing.T) {
	t.Parallel()
	s := newService(t)
	a := s.want(s.request(http.MethodGet, "/api/kyc/health", nil), http.StatusOK)
	if got := fmt.Sprint(a.body); got != "map[providers:map[bearer:true onfido:false persona:true sumsub:true veriff:true] status:ok]" {
		t.Errorf("got %s", got)
	}
	s.kyc = kyc.Config{}
	off := s.replica(oldKey)
	if a := off.want(off.request(http.MethodGet, "/api/kyc/health/", nil), http.StatusOK); a.body["status"] != "disabled" {
		t.Errorf("got %s", a.Body)
	}
	body := review(uuid.NewString(), "applicantReviewed", green, time.Now())
	off.webhook(body, http.StatusUnauthorized, sumsubSigns("", body)...)
	off.webhook(body, http.StatusUnauthorized, "Authorization", "Bearer x", "X-KYC-Provider", "sumsub")
}
