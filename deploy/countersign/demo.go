package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/pkg/token"
)

const demoFile = "demo.json"

// demo is what a program needs to use a local stack, as .local/demo.json holds it.
type demo struct {
	AuthURL           string    `json:"auth_url"`
	PinAdminURL       string    `json:"pin_admin_url"`
	PinInternalURL    string    `json:"pin_internal_url"`
	AuthOpsURL        string    `json:"auth_ops_url"`
	PinAdminOpsURL    string    `json:"pin_admin_ops_url"`
	PinInternalOpsURL string    `json:"pin_internal_ops_url"`
	DatabaseURL       string    `json:"database_url"`
	RedisURL          string    `json:"redis_url"`
	AdminEmail        string    `json:"admin_email"`
	AdminPassword     string    `json:"admin_password"`
	APIKey            string    `json:"api_key"`
	InstanceID        uuid.UUID `json:"instance_id"`
	ProxyKey          string    `json:"proxy_key"`
	CustomerID        uuid.UUID `json:"customer_id"`
	CustomerEmail     string    `json:"customer_email"`
	CustomerPassword  string    `json:"customer_password"`
	IdentityID        uuid.UUID `json:"identity_id"`
	Channel           string    `json:"channel"`
	ExternalID        string    `json:"external_id"`
	MailDir           string    `json:"mail_dir"`
	KYCSumsubSecret   string    `json:"kyc_sumsub_secret"`
}

// at completes the data with where the stack is to be found now.
func (d demo) at(base int, stores *stackStores, local localFolder, kept secrets) demo {
	d.AuthURL, d.PinAdminURL, d.PinInternalURL = localURL(base+1), localURL(base+2), localURL(base+3)
	d.AuthOpsURL, d.PinAdminOpsURL, d.PinInternalOpsURL = localURL(base+1+opsOffset), localURL(base+2+opsOffset), localURL(base+3+opsOffset)
	d.DatabaseURL, d.RedisURL = stores.databaseURL, stores.redisURL
	d.MailDir, d.KYCSumsubSecret = local.path(mailFolder), kept.KYCSumsub
	return d
}

// demoCommand makes the demo data of a stack of containers and prints its tour. A folder, its one argument, keeps the keys
// for the next time.
func demoCommand(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("demo: which folder? demo FOLDER")
	}
	var cfg struct {
		DatabaseURL    string `envconfig:"DATABASE_URL"`
		AuthURL        string `envconfig:"AUTH_URL"`
		PinAdminURL    string `envconfig:"PIN_ADMIN_URL"`
		PinInternalURL string `envconfig:"PIN_INTERNAL_URL"`
		Agent          string `envconfig:"DEMO_AGENT" default:"curl"`
	}
	if err := service.Load(&cfg); err != nil {
		return err
	}
	db, err := openDatabase(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	kept := localFolder(args[0])
	d, err := demoData(ctx, db, kept)
	if err != nil {
		return err
	}
	d.AuthURL, d.PinAdminURL, d.PinInternalURL = cfg.AuthURL, cfg.PinAdminURL, cfg.PinInternalURL
	if err := kept.write(demoFile, d); err != nil {
		return err
	}
	text, err := tour(d, place{Curl: cfg.Agent, Closing: fmt.Sprintf(`The APIs explain themselves at %s/docs and %s/docs; pin-internal's, on the private network, at %s/docs.
To sign in: %s with the password %s, or %s with the password %s.`,
		d.AuthURL, d.PinAdminURL, d.PinInternalURL, d.AdminEmail, d.AdminPassword, d.CustomerEmail, d.CustomerPassword)})
	if err != nil {
		return fmt.Errorf("writing the tour: %w", err)
	}
	_, err = fmt.Print(text)
	return err
}

// demoData returns the demo data that was kept, or makes it when this database does not have it (any more).
func demoData(ctx context.Context, db *sql.DB, in localFolder) (demo, error) {
	var d demo
	if err := in.read(demoFile, &d); err != nil {
		return demo{}, err
	}
	valid, err := d.isIn(ctx, db)
	if err != nil || valid {
		return d, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return demo{}, fmt.Errorf("making the demo data: %w", err)
	}
	defer tx.Rollback()
	if d, err = makeDemo(ctx, tx); err != nil {
		return demo{}, fmt.Errorf("making the demo data: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return demo{}, fmt.Errorf("making the demo data: %w", err)
	}
	return d, nil
}

func (d demo) isIn(ctx context.Context, db *sql.DB) (valid bool, err error) {
	proxyKey, err1 := token.Parse(token.ProxyKey, d.ProxyKey, 0)
	apiKey, err2 := token.Parse(token.APIKey, d.APIKey, 0)
	if err1 != nil || err2 != nil {
		return false, nil
	}
	const q = `
		select exists (select from proxy_keys where key_hash = $1 and instance_id = $2 and revoked_at is null)
		   and exists (select from api_keys where key_hash = $3 and revoked_at is null)
		   and exists (select from identities where id = $4 and instance_id = $2 and customer_id = $5)
		   and exists (select from users where email = $6)
		   and exists (select from users where email = $7)`
	err = db.QueryRowContext(ctx, q, proxyKey.Hash(), d.InstanceID, apiKey.Hash(), d.IdentityID, d.CustomerID, d.AdminEmail, d.CustomerEmail).Scan(&valid)
	if err != nil {
		return false, fmt.Errorf("looking for the demo data: %w", err)
	}
	return valid, nil
}

// makeDemo makes an admin, a customer who can sign in, and an agent that knows the customer from one channel, with the
// keys of the agent's runtime and of a dashboard. The customer has no PIN: the tour sets it.
func makeDemo(ctx context.Context, tx *sql.Tx) (demo, error) {
	d := demo{
		AdminEmail: "admin@example.com", AdminPassword: rand.Text(),
		CustomerEmail: "customer@example.com", CustomerPassword: rand.Text(),
		Channel: "telegram", ExternalID: "100200300",
	}
	if _, err := putUser(ctx, tx, d.AdminEmail, d.AdminPassword, "admin"); err != nil {
		return demo{}, err
	}
	if _, err := putUser(ctx, tx, d.CustomerEmail, d.CustomerPassword, "user"); err != nil {
		return demo{}, err
	}
	proxyKey, apiKey := token.New(token.ProxyKey), token.New(token.APIKey)
	d.ProxyKey, d.APIKey = proxyKey.Reveal(), apiKey.Reveal()
	const q = `
		with customer as (
			insert into customers (email, display_name) values ($1, 'Demo customer')
			on conflict (lower(email)) do update set updated_at = now()
			returning id),
		instance as (
			insert into instances (name) values ('Demo agent')
			returning id),
		identity as (
			insert into identities (customer_id, instance_id, channel, external_id, display_name, verified)
			select customer.id, instance.id, $2, $3, 'Demo customer', true from customer, instance
			returning id),
		proxy_key as (
			insert into proxy_keys (instance_id, name, prefix, key_hash)
			select instance.id, 'demo', $4, $5 from instance),
		api_key as (
			insert into api_keys (name, prefix, key_hash, scopes) values ('demo', $6, $7, array['admin']))
		select customer.id, instance.id, identity.id from customer, instance, identity`
	err := tx.QueryRowContext(ctx, q, d.CustomerEmail, d.Channel, d.ExternalID, proxyKey.Prefix(), proxyKey.Hash(),
		apiKey.Prefix(), apiKey.Hash()).Scan(&d.CustomerID, &d.InstanceID, &d.IdentityID)
	return d, err
}
