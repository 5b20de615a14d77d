// Package directory knows customers, instances and identities: who there is, and within which instance.
package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/fault"
)

// Nothing of that kind is within what the caller may see.
var (
	ErrNoCustomer = fault.New(fault.NotFound, "customer_not_found", "Customer not found")
	ErrNoInstance = fault.New(fault.NotFound, "instance_not_found", "Instance not found")
	ErrNoIdentity = fault.New(fault.NotFound, "identity_not_found", "Identity not found")
)

// Directory reads and writes the tables of that name.
type Directory struct{ DB *sqlx.DB }

// Address is the answer to a lookup: whose account this is on a channel.
type Address struct {
	IdentityID    uuid.UUID `db:"identity_id"`
	CustomerID    uuid.UUID `db:"customer_id"`
	CustomerEmail string    `db:"customer_email"`
	Channel       string    `db:"channel"`
	ExternalID    string    `db:"external_id"`
	DisplayName   *string   `db:"display_name"`
	RoleOverride  *string   `db:"role_override"`
	Verified      bool      `db:"verified"`
}

// Lookup finds the identity behind an account of one instance, or returns ErrNoIdentity.
func (d Directory) Lookup(ctx context.Context, instance uuid.UUID, channel, externalID string) (Address, error) {
	const q = `
		select d.id as identity_id, d.customer_id, c.email as customer_email, d.channel, d.external_id,
		       coalesce(d.display_name, c.display_name) as display_name, d.role_override, d.verified
		  from identities d join customers c on c.id = d.customer_id
		 where d.instance_id = $1 and d.channel = $2 and d.external_id = $3`
	var a Address
	err := d.DB.GetContext(ctx, &a, q, instance, channel, externalID)
	if errors.Is(err, sql.ErrNoRows) {
		return Address{}, ErrNoIdentity
	}
	if err != nil {
		return Address{}, fmt.Errorf("looking up an identity: %w", err)
	}
	return a, nil
}

// CustomerWithin returns the customer of an identity of one instance, or ErrNoIdentity.
func (d Directory) CustomerWithin(ctx context.Context, instance, identity uuid.UUID) (uuid.UUID, error) {
	var customer uuid.UUID
	err := d.DB.GetContext(ctx, &customer, `select customer_id from identities where id = $1 and instance_id = $2`, identity, instance)
	if errors.Is(err, sql.ErrNoRows) {
		return uuid.Nil, ErrNoIdentity
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("looking up an identity: %w", err)
	}
	return customer, nil
}

// HasCustomer returns ErrNoCustomer when there is no such customer.
func (d Directory) HasCustomer(ctx context.Context, customer uuid.UUID) error {
	return d.has(ctx, ErrNoCustomer, `select exists (select from customers where id = $1)`, customer)
}

// HasInstance returns ErrNoInstance when there is no such instance.
func (d Directory) HasInstance(ctx context.Context, instance uuid.UUID) error {
	return d.has(ctx, ErrNoInstance, `select exists (select from instances where id = $1)`, instance)
}

// HasIdentity returns ErrNoIdentity when the customer has no such identity.
func (d Directory) HasIdentity(ctx context.Context, customer, identity uuid.UUID) error {
	return d.has(ctx, ErrNoIdentity, `select exists (select from identities where id = $1 and customer_id = $2)`, identity, customer)
}

// Owns returns ErrNoInstance unless the customer with this address owns the instance.
func (d Directory) Owns(ctx context.Context, email string, instance uuid.UUID) error {
	return d.has(ctx, ErrNoInstance, `
		select exists (select from instances i join customers c on c.id = i.owner_customer_id
		                where i.id = $1 and lower(c.email) = lower($2))`, instance, email)
}

// CustomerOf returns the customer with this address, or ErrNoCustomer.
func (d Directory) CustomerOf(ctx context.Context, email string) (uuid.UUID, error) {
	var customer uuid.UUID
	err := d.DB.GetContext(ctx, &customer, `select id from customers where lower(email) = lower($1)`, email)
	if errors.Is(err, sql.ErrNoRows) {
		return uuid.Nil, ErrNoCustomer
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("looking up a customer: %w", err)
	}
	return customer, nil
}

func (d Directory) has(ctx context.Context, absent error, query string, args ...any) error {
	var found bool
	if err := d.DB.GetContext(ctx, &found, query, args...); err != nil {
		return fmt.Errorf("looking into the directory: %w", err)
	}
	if !found {
		return absent
	}
	return nil
}
