// Package directory stores customers, instances and identities.
package directory

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/fault"
)

// These errors say that an object does not exist, or does not belong to the given customer or instance.
var (
	ErrNoCustomer = fault.New(fault.NotFound, "customer_not_found", "Customer not found")
	ErrNoInstance = fault.New(fault.NotFound, "instance_not_found", "Instance not found")
	ErrNoIdentity = fault.New(fault.NotFound, "identity_not_found", "Identity not found")
)

// Directory reads and writes the tables customers, instances and identities.
type Directory struct{ DB *sqlx.DB }

// Account is an identity with the email address of its customer.
type Account struct {
	IdentityID    uuid.UUID `db:"identity_id"`
	CustomerID    uuid.UUID `db:"customer_id"`
	CustomerEmail string    `db:"customer_email"`
	Channel       string    `db:"channel"`
	ExternalID    string    `db:"external_id"`
	DisplayName   *string   `db:"display_name"`
	RoleOverride  *string   `db:"role_override"`
	Verified      bool      `db:"verified"`
}

// Lookup finds the identity of an account on a channel of an instance. The error may be ErrNoIdentity.
func (d Directory) Lookup(ctx context.Context, instance uuid.UUID, channel, externalID string) (Account, error) {
	const q = `
		select d.id as identity_id, d.customer_id, c.email as customer_email, d.channel, d.external_id,
		       coalesce(d.display_name, c.display_name) as display_name, d.role_override, d.verified
		  from identities d join customers c on c.id = d.customer_id
		 where d.instance_id = $1 and d.channel = $2 and d.external_id = $3`
	var a Account
	err := d.DB.GetContext(ctx, &a, q, instance, channel, externalID)
	return a, mapError(err, "looking up an identity", ErrNoIdentity, nil)
}

// CustomerOfIdentity returns the customer of an identity. It returns ErrNoIdentity unless the identity belongs to the instance.
func (d Directory) CustomerOfIdentity(ctx context.Context, instance, identity uuid.UUID) (uuid.UUID, error) {
	var customer uuid.UUID
	err := d.DB.GetContext(ctx, &customer, `select customer_id from identities where id = $1 and instance_id = $2`, identity, instance)
	return customer, mapError(err, "looking up an identity", ErrNoIdentity, nil)
}

// HasCustomer returns ErrNoCustomer unless the customer exists.
func (d Directory) HasCustomer(ctx context.Context, customer uuid.UUID) error {
	return d.has(ctx, ErrNoCustomer, `select exists (select from customers where id = $1)`, customer)
}

// HasInstance returns ErrNoInstance unless the instance exists.
func (d Directory) HasInstance(ctx context.Context, instance uuid.UUID) error {
	return d.has(ctx, ErrNoInstance, `select exists (select from instances where id = $1)`, instance)
}

// HasIdentity returns ErrNoIdentity unless the identity exists and belongs to the customer.
func (d Directory) HasIdentity(ctx context.Context, customer, identity uuid.UUID) error {
	return d.has(ctx, ErrNoIdentity, `select exists (select from identities where id = $1 and customer_id = $2)`, identity, customer)
}

// Owns returns ErrNoInstance unless the customer with this email address owns the instance.
func (d Directory) Owns(ctx context.Context, email string, instance uuid.UUID) error {
	return d.has(ctx, ErrNoInstance, `
		select exists (select from instances i join customers c on c.id = i.owner_customer_id
		                where i.id = $1 and lower(c.email) = lower($2))`, instance, email)
}

// CustomerByEmail returns the customer with this email address. The error may be ErrNoCustomer.
func (d Directory) CustomerByEmail(ctx context.Context, email string) (uuid.UUID, error) {
	var customer uuid.UUID
	err := d.DB.GetContext(ctx, &customer, `select id from customers where lower(email) = lower($1)`, email)
	return customer, mapError(err, "looking up a customer", ErrNoCustomer, nil)
}

// has runs a query that returns one boolean, and returns notFound if it is false.
func (d Directory) has(ctx context.Context, notFound error, query string, args ...any) error {
	var found bool
	if err := d.DB.GetContext(ctx, &found, query, args...); err != nil {
		return fmt.Errorf("reading the directory: %w", err)
	}
	if !found {
		return notFound
	}
	return nil
}
