// Package demo puts demo data into a database: an admin, a customer who can sign in, an instance with three skills and an
// identity of the customer, a proxy key and an API key. It refuses a database that contains other data.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/deploy/countersign/folder"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/skill"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/auth/operator"
)

// File is the name of the file that holds Data as JSON.
const File = "demo.json"

// Data is what a program needs to use a local stack with demo data.
type Data struct {
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

// The names of everything that the demo makes.
const (
	adminEmail    = "admin@example.com"
	customerEmail = "customer@example.com"
	customerName  = "Demo customer"
	instanceName  = "Demo agent"
	keyName       = "demo"
)

// Ensure returns the demo data of a database: the data in the folder's File if the database contains it, otherwise new data. It
// adds the demo's skills to the instance, also to the instance of an earlier version, which had none. The caller writes the result to
// the folder. If the database contains other data, Ensure returns ErrForeign and changes nothing.
func Ensure(ctx context.Context, db *sqlx.DB, from folder.Folder) (Data, error) {
	var d Data
	if err := from.Read(File, &d); err != nil {
		return Data{}, err
	}
	valid, err := d.isIn(ctx, db)
	if err != nil {
		return Data{}, err
	}
	if !valid {
		if err := d.requireNoForeignData(ctx, db); err != nil {
			return Data{}, err
		}
		if d, err = create(ctx, db); err != nil {
			return Data{}, fmt.Errorf("making the demo data: %w", err)
		}
	}
	if err := registerSkills(ctx, skill.Store{DB: db}, d.InstanceID); err != nil {
		return Data{}, fmt.Errorf("registering the demo's skills: %w", err)
	}
	return d, nil
}

// isIn reports whether the database has these users, this identity and these keys, and the keys are valid.
func (d Data) isIn(ctx context.Context, db *sqlx.DB) (bool, error) {
	for _, check := range []func(context.Context, *sqlx.DB) error{d.checkProxyKey, d.checkAPIKey, d.checkIdentity, d.checkUsers} {
		err := check(ctx, db)
		if errors.Is(err, caller.ErrInvalid) || errors.Is(err, directory.ErrNoIdentity) || errors.Is(err, directory.ErrEmail) || errors.Is(err, operator.ErrNoUser) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("looking for the demo data: %w", err)
		}
	}
	return true, nil
}

func (d Data) checkProxyKey(ctx context.Context, db *sqlx.DB) error {
	key, err := token.Parse(token.ProxyKey, d.ProxyKey, 0)
	if err != nil {
		return caller.ErrInvalid
	}
	runtime, err := credential.Keys{DB: db}.AuthenticateProxyKey(ctx, key)
	if err == nil && runtime.InstanceID != d.InstanceID {
		return caller.ErrInvalid
	}
	return err
}

func (d Data) checkAPIKey(ctx context.Context, db *sqlx.DB) error {
	_, err := credential.Keys{DB: db}.AuthenticateAPIKey(ctx, d.APIKey)
	return err
}

func (d Data) checkIdentity(ctx context.Context, db *sqlx.DB) error {
	identity, err := directory.Directory{DB: db}.Identity(ctx, d.CustomerID, d.IdentityID)
	if err == nil && identity.InstanceID != d.InstanceID {
		return directory.ErrNoIdentity
	}
	return err
}

func (d Data) checkUsers(ctx context.Context, db *sqlx.DB) error {
	for _, email := range []string{d.AdminEmail, d.CustomerEmail} {
		if _, err := operator.UserID(ctx, db, email); err != nil {
			return err
		}
	}
	return nil
}

// create makes the demo data. It keeps the users and the customer of an earlier run, and gives the users new passwords. It sets
// no PIN, because the tour sets it.
func create(ctx context.Context, db *sqlx.DB) (Data, error) {
	d := Data{
		AdminEmail: adminEmail, AdminPassword: rand.Text(), CustomerEmail: customerEmail, CustomerPassword: rand.Text(),
		Channel: "telegram", ExternalID: "100200300",
	}
	if _, err := operator.PutUser(ctx, db, d.AdminEmail, operator.Admin, secret.New(d.AdminPassword)); err != nil {
		return Data{}, err
	}
	if _, err := operator.PutUser(ctx, db, d.CustomerEmail, operator.User, secret.New(d.CustomerPassword)); err != nil {
		return Data{}, err
	}
	if err := d.createAgent(ctx, directory.Directory{DB: db}); err != nil {
		return Data{}, err
	}
	return d, d.issueKeys(ctx, credential.Keys{DB: db})
}

// createAgent makes the customer, a strict instance, and the customer's identity on it.
func (d *Data) createAgent(ctx context.Context, directories directory.Directory) (err error) {
	name := customerName
	d.CustomerID, err = directories.CustomerByEmail(ctx, d.CustomerEmail)
	if errors.Is(err, directory.ErrNoCustomer) {
		var customer directory.Customer
		customer, err = directories.CreateCustomer(ctx, d.CustomerEmail, &name)
		d.CustomerID = customer.ID
	}
	if err != nil {
		return err
	}
	instance, err := directories.CreateInstance(ctx, instanceName, nil, policy.Strict)
	if err != nil {
		return err
	}
	identity, err := directories.CreateIdentity(ctx, directory.Identity{
		CustomerID: d.CustomerID, InstanceID: instance.ID, Channel: d.Channel, ExternalID: d.ExternalID, DisplayName: &name, Verified: true,
	})
	d.InstanceID, d.IdentityID = instance.ID, identity.ID
	return err
}

func (d *Data) issueKeys(ctx context.Context, keys credential.Keys) error {
	name := keyName
	_, proxyKey, err := keys.IssueProxyKey(ctx, d.InstanceID, credential.NewKey{Name: &name})
	if err != nil {
		return err
	}
	_, apiKey, err := keys.IssueAPIKey(ctx, []string{"admin"}, credential.NewKey{Name: &name})
	d.ProxyKey, d.APIKey = proxyKey.Reveal(), apiKey.Reveal()
	return err
}
