package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/countersign/countersign/deploy/countersign/database"
	"github.com/countersign/countersign/deploy/countersign/demo"
	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/deploy/countersign/local"
	"github.com/countersign/countersign/deploy/countersign/secrets"
	"github.com/countersign/countersign/deploy/countersign/webhook"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/services/auth/operator"
)

func kycCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "kyc", Short: "Resolve a rejection of identity verification (KYC), or test without a vendor", Args: noArguments, RunE: needSubcommand}
	var k kyc
	send := &cobra.Command{
		Use: "send", Short: "Send a vendor's webhook to auth, signed as the vendor signs it",
		Long: `send posts a webhook about a user to auth, signed as the vendor signs it. Without flags it approves the demo's customer on the
stack that runs in this folder (make run).

Settings: DATABASE_URL, and the vendor's secret: KYC_SUMSUB_SECRET, KYC_PERSONA_SECRET, KYC_ONFIDO_SECRET or KYC_VERIFF_SECRET.
A setting that is not set is taken from the stack in this folder.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return k.send(cmd.Context(), cmd.OutOrStdout()) },
	}
	send.Flags().StringVar(&k.vendor, "vendor", "sumsub", "the vendor: "+strings.Join(webhook.Vendors(), ", "))
	send.Flags().StringVar(&k.user, "user", "", "the user: an id or an email address (default: the demo's customer)")
	send.Flags().StringVar(&k.status, "status", "approved", "the status: "+strings.Join(webhook.Statuses, ", "))
	send.Flags().StringVar(&k.at, "at", "", "the time of the event by the vendor's clock, as 2026-01-31T12:00:00Z (default: now)")
	send.Flags().StringVar(&k.event, "event", "", "the event's id; auth ignores an event whose id it already has (default: random)")
	send.Flags().StringVar(&k.url, "url", "", "the URL of auth (default: the URL of the stack in this folder)")
	cmd.AddCommand(send, resolveCommand())
	return cmd
}

func resolveCommand() *cobra.Command {
	var email, vendor string
	cmd := &cobra.Command{
		Use: "resolve --email ADDRESS --vendor NAME", Short: "Resolve a vendor's rejection of a user",
		Long: `resolve makes a vendor's rejection of a user count no more. While one vendor rejects a user, no event of another vendor approves
the user. After resolve, the events of the other vendors decide. A later event of the vendor counts again. Resolve a rejection only
after you have found out why the vendor rejected the person. The audit trail gets a row (kyc.resolved).

Settings: DATABASE_URL, with the user that owns the schema.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return resolve(cmd.Context(), cmd.OutOrStdout(), email, vendor)
		},
	}
	cmd.Flags().StringVar(&email, "email", "", "the user's email address (required)")
	cmd.Flags().StringVar(&vendor, "vendor", "", "the vendor that rejected the user: "+strings.Join(webhook.Vendors(), ", ")+" (required)")
	return cmd
}

func resolve(ctx context.Context, out io.Writer, email, vendor string) error {
	if _, err := directory.ParseEmail(email); err != nil {
		return usageError{errors.New("--email must be an email address")}
	}
	if !slices.Contains(webhook.Vendors(), vendor) {
		return usageError{errors.New("--vendor must be one of " + strings.Join(webhook.Vendors(), ", "))}
	}
	var cfg struct {
		DatabaseURL string `envconfig:"DATABASE_URL"`
	}
	if err := service.Load(&cfg); err != nil {
		return err
	}
	db, err := database.Open(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := operator.ResolveKYC(ctx, db, email, vendor); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "the rejection of %s by %s does not count any more\n", strings.ToLower(email), vendor)
	return err
}

type kyc struct{ vendor, user, status, at, event, url string }

func (k kyc) send(ctx context.Context, out io.Writer) error {
	at := time.Now()
	if k.at != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, k.at); err != nil {
			return usageError{errors.New("--at must be a time like 2026-01-31T12:00:00Z")}
		}
	}
	dir := folder.Folder(local.Folder)
	var d demo.Data
	var kept secrets.Services
	if err := errors.Join(dir.Read(demo.File, &d), dir.Read(secrets.File, &kept)); err != nil {
		return err
	}
	var cfg kycConfig
	if err := service.Load(&cfg); err != nil {
		return err
	}
	event := webhook.Event{ID: cmp.Or(k.event, "evt_"+rand.Text()), Status: k.status, At: at}
	if _, err := webhook.Body(k.vendor, event); err != nil {
		return usageError{err}
	}
	secret, err := cfg.secret(k.vendor, kept)
	if err != nil {
		return err
	}
	if event.User, err = userID(ctx, cmp.Or(k.user, d.CustomerEmail), cmp.Or(cfg.DatabaseURL, d.DatabaseURL)); err != nil {
		return err
	}
	body, err := webhook.Body(k.vendor, event)
	if err != nil {
		return err
	}
	return post(ctx, cmp.Or(k.url, d.AuthURL)+"/api/kyc/webhook", body, webhook.Sign(k.vendor, secret, body, time.Now()), out)
}

// kycConfig has the settings for a stack that does not run in this folder.
type kycConfig struct {
	DatabaseURL string `envconfig:"DATABASE_URL"`
	Sumsub      string `envconfig:"KYC_SUMSUB_SECRET"`
	Persona     string `envconfig:"KYC_PERSONA_SECRET"`
	Onfido      string `envconfig:"KYC_ONFIDO_SECRET"`
	Veriff      string `envconfig:"KYC_VERIFF_SECRET"`
}

// secret returns a vendor's secret from the environment, or else from the local stack.
func (c kycConfig) secret(vendor string, kept secrets.Services) (string, error) {
	secret := map[string]string{
		"sumsub": cmp.Or(c.Sumsub, kept.KYCSumsub), "persona": cmp.Or(c.Persona, kept.KYCPersona),
		"onfido": cmp.Or(c.Onfido, kept.KYCOnfido), "veriff": cmp.Or(c.Veriff, kept.KYCVeriff),
	}[vendor]
	if secret == "" {
		return "", fmt.Errorf("KYC_%s_SECRET is not set, and no stack has run in this folder", strings.ToUpper(vendor))
	}
	return secret, nil
}

// userID returns the id of a user, given as an id or as an email address.
func userID(ctx context.Context, user, databaseURL string) (uuid.UUID, error) {
	if id, err := uuid.Parse(user); err == nil {
		return id, nil
	}
	db, err := database.Open(ctx, databaseURL)
	if err != nil {
		return uuid.Nil, err
	}
	defer db.Close()
	id, err := operator.UserID(ctx, db, user)
	if err != nil {
		return uuid.Nil, fmt.Errorf("looking for the user %q: %w", user, err)
	}
	return id, nil
}

// post sends a webhook and prints the body, the status and the answer. It fails unless the status is 200.
func post(ctx context.Context, address string, body []byte, header http.Header, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header = header
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	fmt.Fprintf(out, "%s\n%s\n%s\n", body, answer.Status, bytes.TrimSpace(text))
	if answer.StatusCode != http.StatusOK {
		return exitCode(exitFailed)
	}
	return nil
}
