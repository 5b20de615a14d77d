package directory

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/page"
	"github.com/countersign/countersign/pkg/patch"
)

var (
	// ErrEmailTaken says that another customer has the email address.
	ErrEmailTaken = fault.New(fault.Conflict, "email_taken", "A customer with this email address exists already")
	// ErrOwnsInstances says that a customer cannot be deleted because it owns an instance.
	ErrOwnsInstances = fault.New(fault.Conflict, "customer_owns_instances", "The customer owns an instance: give it another owner first")
)

// Customer is a person that the platform serves.
type Customer struct {
	CreatedAt   time.Time `db:"created_at"`
	DisplayName *string   `db:"display_name"`
	Email       string    `db:"email"`
	ID          uuid.UUID `db:"id"`
	UpdatedAt   time.Time `db:"updated_at"`
}

const customerColumns = `created_at, display_name, email, id, updated_at`

// CustomerChange is a change of a customer. A field that is nil or not given stays as it is.
type CustomerChange struct {
	Email       *string
	DisplayName patch.Field[string]
}

// Customers returns one page of all customers.
func (d Directory) Customers(ctx context.Context, p page.Page) (page.Of[Customer], error) {
	return page.Read[Customer](ctx, d.DB, page.List{
		Columns: customerColumns, Table: `customers`, Searched: []string{`lower(email)`, `lower(display_name)`},
		Sorts: map[string]string{"email": `lower(email)`, "display_name": `lower(display_name)`},
	}, p)
}

// Customer returns one customer. The error may be ErrNoCustomer.
func (d Directory) Customer(ctx context.Context, id uuid.UUID) (Customer, error) {
	var c Customer
	err := d.DB.GetContext(ctx, &c, `select `+customerColumns+` from customers where id = $1`, id)
	return c, mapError(err, "reading a customer", ErrNoCustomer, nil)
}

// CreateCustomer adds a customer. The error may be ErrEmail or ErrEmailTaken.
func (d Directory) CreateCustomer(ctx context.Context, email string, displayName *string) (c Customer, err error) {
	if email, err = ParseEmail(email); err != nil {
		return Customer{}, err
	}
	const q = `insert into customers (email, display_name) values ($1, $2) returning ` + customerColumns
	err = audit.Change(ctx, d.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &c, q, email, displayName)
		return audit.Event{Action: "customer.created", CustomerID: audit.ID(c.ID)},
			mapError(err, "creating a customer", nil, constraintErrors{"customers_email": ErrEmailTaken})
	})
	return c, err
}

// ChangeCustomer changes the given fields and returns the customer. The error may be ErrNoCustomer, ErrEmail or ErrEmailTaken.
func (d Directory) ChangeCustomer(ctx context.Context, id uuid.UUID, change CustomerChange) (c Customer, err error) {
	if change == (CustomerChange{}) {
		return d.Customer(ctx, id)
	}
	if change.Email != nil {
		email, err := ParseEmail(*change.Email)
		if err != nil {
			return Customer{}, err
		}
		change.Email = &email
	}
	const q = `
		update customers
		   set email = coalesce($2, email), display_name = case when $3 then $4 else display_name end, updated_at = now()
		 where id = $1
		returning ` + customerColumns
	err = audit.Change(ctx, d.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &c, q, id, change.Email, change.DisplayName.Given, change.DisplayName.Value)
		return audit.Event{Action: "customer.updated", CustomerID: audit.ID(id), Details: map[string]any{
			"changed": namesOf(map[string]bool{"email": change.Email != nil, "display_name": change.DisplayName.Given}),
		}}, mapError(err, "changing a customer", ErrNoCustomer, constraintErrors{"customers_email": ErrEmailTaken})
	})
	return c, err
}

// ChangeAddress gives the customer with an address another address, and returns the customer's id. It returns no id when there
// is no such customer, and ErrEmailTaken when another customer has the new address.
func ChangeAddress(ctx context.Context, tx *sqlx.Tx, from, to string) (customer uuid.NullUUID, err error) {
	const q = `
		with changed as (update customers set email = $2, updated_at = now() where lower(email) = lower($1) returning id)
		select (select id from changed) as id, exists (select from customers where lower(email) = lower($2)) as taken`
	var row struct {
		ID    uuid.NullUUID `db:"id"`
		Taken bool          `db:"taken"`
	}
	err = tx.GetContext(ctx, &row, q, from, to)
	if err == nil && row.Taken {
		return uuid.NullUUID{}, ErrEmailTaken
	}
	if err != nil {
		return uuid.NullUUID{}, mapError(err, "changing a customer's address", nil, constraintErrors{"customers_email": ErrEmailTaken})
	}
	return row.ID, nil
}

// DeleteCustomer deletes a customer with its identities, PINs and attempts. The error may be ErrNoCustomer or ErrOwnsInstances.
func (d Directory) DeleteCustomer(ctx context.Context, id uuid.UUID) error {
	return audit.Change(ctx, d.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &id, `delete from customers where id = $1 returning id`, id)
		return audit.Event{Action: "customer.deleted", CustomerID: audit.ID(id)},
			mapError(err, "deleting a customer", ErrNoCustomer, constraintErrors{"instances_owner_customer_id_fkey": ErrOwnsInstances})
	})
}
