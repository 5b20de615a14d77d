package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/service"
)

// kycCommand plays a KYC vendor: kyc send posts a webhook to auth, signed as the vendor would sign it. Out of the box it is
// about the demo's customer, and goes to the stack that runs in this folder.
func kycCommand(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "send" {
		return errors.New("kyc: kyc send, and --help says with what")
	}
	local := localFolder(".local")
	var d demo
	var kept secrets
	if err := errors.Join(local.read(demoFile, &d), local.read(keptFile, &kept)); err != nil {
		return err
	}
	flags := flag.NewFlagSet("kyc send", flag.ContinueOnError)
	vendor := flags.String("vendor", "sumsub", "sumsub, persona, onfido or veriff; KYC_SUMSUB_SECRET and the like: its secret, else the local stack's")
	user := flags.String("user", d.CustomerEmail, "whom it is about: an id, or an address that DATABASE_URL or the local stack's database knows")
	status := flags.String("status", "approved", "what the vendor says: "+kycStatuses)
	at := time.Now()
	flags.Func("at", "when it was, by the vendor's clock, as 2026-01-31T12:00:00Z (default now)", func(text string) (err error) {
		at, err = time.Parse(time.RFC3339, text)
		return err
	})
	event := flags.String("event", "evt_"+rand.Text(), "the event's id: the same again is a repeat")
	auth := flags.String("url", d.AuthURL, "where auth is")
	if err := flags.Parse(args[1:]); err != nil || flags.NArg() > 0 {
		return exitCode(2)
	}
	var cfg kycConfig
	if err := service.Load(&cfg); err != nil {
		return err
	}
	secret, err := cfg.secret(*vendor, kept)
	if err != nil {
		return err
	}
	id, err := userID(ctx, *user, cmp.Or(cfg.DatabaseURL, d.DatabaseURL))
	if err != nil {
		return err
	}
	body, err := kycBody(*vendor, *status, *event, id, at)
	if err != nil {
		return err
	}
	return postWebhook(ctx, *auth, body, kycSignature(*vendor, secret, body, time.Now()))
}

// kycConfig is what the environment says, for a stack that is not this folder's.
type kycConfig struct {
	DatabaseURL string `envconfig:"DATABASE_URL"`
	Sumsub      string `envconfig:"KYC_SUMSUB_SECRET"`
	Persona     string `envconfig:"KYC_PERSONA_SECRET"`
	Onfido      string `envconfig:"KYC_ONFIDO_SECRET"`
	Veriff      string `envconfig:"KYC_VERIFF_SECRET"`
}

// secret is a vendor's: the environment's, else the local stack's.
func (c kycConfig) secret(vendor string, kept secrets) (string, error) {
	secret := map[string]string{
		"sumsub": cmp.Or(c.Sumsub, kept.KYCSumsub), "persona": cmp.Or(c.Persona, kept.KYCPersona),
		"onfido": cmp.Or(c.Onfido, kept.KYCOnfido), "veriff": cmp.Or(c.Veriff, kept.KYCVeriff),
	}[vendor]
	if secret == "" {
		return "", fmt.Errorf("kyc: there is no secret of %q: no such vendor, or no stack has run in this folder", vendor)
	}
	return secret, nil
}

// userID is who is meant by an id, or by an address that the database knows.
func userID(ctx context.Context, user, databaseURL string) (uuid.UUID, error) {
	if id, err := uuid.Parse(user); err == nil {
		return id, nil
	}
	email, err := directory.ParseEmail(user)
	if err != nil {
		return uuid.Nil, errors.New("kyc: --user wants an id or an address")
	}
	db, err := openDatabase(ctx, databaseURL)
	if err != nil {
		return uuid.Nil, err
	}
	defer db.Close()
	var id uuid.UUID
	if err := db.QueryRowContext(ctx, `select id from users where email = $1`, email).Scan(&id); err != nil {
		return uuid.Nil, fmt.Errorf("kyc: looking for the user with this address: %w", err)
	}
	return id, nil
}

const kycStatuses = "pending, in_review, approved, rejected or resubmission_requested"

// kycBody is what a vendor posts when it comes to a status.
func kycBody(vendor, status, event string, user uuid.UUID, at time.Time) ([]byte, error) {
	type object = map[string]any
	word, ok := map[string]map[string]string{
		"sumsub": {"pending": "applicantPending", "in_review": "applicantPrechecked", "approved": "GREEN", "rejected": "FINAL", "resubmission_requested": "RETRY"},
		"persona": {"pending": "inquiry.started", "in_review": "inquiry.marked-for-review", "approved": "inquiry.approved",
			"rejected": "inquiry.declined", "resubmission_requested": "inquiry.expired"},
		"onfido": {"pending": "processing", "in_review": "review", "approved": "approved", "rejected": "declined", "resubmission_requested": "abandoned"},
		"veriff": {"in_review": "review", "approved": "approved", "rejected": "declined", "resubmission_requested": "resubmission_requested"},
	}[vendor][status]
	if !ok {
		return nil, fmt.Errorf("kyc: %s has no such status; there are %s (Veriff sends no pending)", vendor, kycStatuses)
	}
	instant := at.UTC().Format("2006-01-02T15:04:05.000Z")
	var body object
	switch vendor {
	case "sumsub":
		body = object{
			"applicantId": "demo", "correlationId": event, "externalUserId": user, "levelName": "basic-kyc-level",
			"type": word, "createdAtMs": at.UTC().Format("2006-01-02 15:04:05.000"),
		}
		switch word {
		case "GREEN":
			body["type"], body["reviewResult"] = "applicantReviewed", object{"reviewAnswer": "GREEN"}
		case "FINAL", "RETRY":
			body["type"] = "applicantReviewed"
			body["reviewResult"] = object{"reviewAnswer": "RED", "reviewRejectType": word, "rejectLabels": []string{"UNSATISFACTORY_PHOTOS"}}
		}
	case "persona":
		inquiry := object{"type": "inquiry", "attributes": object{"reference-id": user}}
		body = object{"data": object{"type": "event", "id": event, "attributes": object{
			"name": word, "created-at": instant, "payload": object{"data": inquiry}}}}
	case "onfido":
		action, when := "workflow_run.completed", "completed_at_iso8601"
		if status == "pending" {
			action, when = "workflow_run.started", "started_at_iso8601"
		}
		body = object{"payload": object{"resource_type": "workflow_run", "action": action,
			"object": object{"id": event, "status": word, when: instant}, "resource": object{"customer_user_id": user}}}
	case "veriff":
		body = object{"status": "success", "verification": object{"id": event, "status": word, "vendorData": user, "decisionTime": instant}}
	}
	return json.Marshal(body)
}

// kycSignature is the header by which a vendor signs a body.
func kycSignature(vendor, secret string, body []byte, now time.Time) http.Header {
	sign := func(text []byte) string {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(text)
		return hex.EncodeToString(mac.Sum(nil))
	}
	h := http.Header{}
	switch vendor {
	case "sumsub":
		h.Set("X-Payload-Digest-Alg", "HMAC_SHA256_HEX")
		h.Set("X-Payload-Digest", sign(body))
	case "persona":
		h.Set("Persona-Signature", fmt.Sprintf("t=%d,v1=%s", now.Unix(), sign(fmt.Appendf(nil, "%d.%s", now.Unix(), body))))
	case "onfido":
		h.Set("X-SHA2-Signature", sign(body))
	case "veriff":
		h.Set("X-HMAC-SIGNATURE", sign(body))
	}
	return h
}

func postWebhook(ctx context.Context, auth string, body []byte, header http.Header) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, auth+"/api/kyc/webhook", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("kyc: %w", err)
	}
	r.Header = header
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("kyc: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("kyc: %w", err)
	}
	fmt.Printf("%s\n%s\n%s\n", body, answer.Status, bytes.TrimSpace(text))
	if answer.StatusCode != http.StatusOK {
		return exitCode(1)
	}
	return nil
}
