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
	// ErrAccountTaken says that another identity has the same account on the same channel of the instance.
	ErrAccountTaken = fault.New(fault.Conflict, "identity_taken", "This account on this channel of this instance is an identity already")
	// ErrNoSuchInstance says that the instance of a new identity does not exist. Its kind is Invalid, because the instance is
	// a field of the body. ErrNoInstance is for an id in the path.
	ErrNoSuchInstance = fault.New(fault.Invalid, "instance_unknown", "There is no such instance").About("instance_id")
)

// Identity is a customer's account on one channel of one instance.
type Identity struct {
	Channel     string    `db:"channel"`
	CreatedAt   time.Time `db:"created_at"`
	CustomerID  uuid.UUID `db:"customer_id"`
	DisplayName *string   `db:"display_name"`
	ExternalID  string    `db:"external_id"`
	ID          uuid.UUID `db:"id"`
	InstanceID  uuid.UUID `db:"instance_id"`
	// RoleOverride is nil if the role depends on the owner of the instance.
	RoleOverride *string   `db:"role_override"`
	UpdatedAt    time.Time `db:"updated_at"`
	Verified     bool      `db:"verified"`
}

const identityColumns = `channel, created_at, customer_id, display_name, external_id, id, instance_id, role_override, updated_at, verified`

// IdentityChange is a change of an identity. A field that is nil or not given stays as it is. The customer and the instance
// cannot change, because PINs, attempts and sessions depend on them.
type IdentityChange struct {
	Channel      *string
	ExternalID   *string
	DisplayName  patch.Field[string]
	RoleOverride patch.Field[string]
	Verified     *bool
}

// Identities returns one page of a customer's identities. The error may be ErrNoCustomer.
func (d Directory) Identities(ctx context.Context, customer uuid.UUID, p page.Page) (page.Of[Identity], error) {
	if err := d.HasCustomer(ctx, customer); err != nil {
		return page.Of[Identity]{}, err
	}
	return page.Read[Identity](ctx, d.DB, page.List{
		Columns: identityColumns, Table: `identities`, Where: `customer_id = $1`, Args: []any{customer},
		Searched: []string{`lower(external_id)`, `lower(display_name)`},
		Sorts:    map[string]string{"external_id": `external_id`, "display_name": `lower(display_name)`},
	}, p)
}

// Identity returns one identity of a customer. The error may be ErrNoIdentity.
func (d Directory) Identity(ctx context.Context, customer, id uuid.UUID) (Identity, error) {
	var i Identity
	err := d.DB.GetContext(ctx, &i, `select `+identityColumns+` from identities where id = $1 and customer_id = $2`, id, customer)
	return i, mapError(err, "reading an identity", ErrNoIdentity, nil)
}

// CreateIdentity adds an identity. The database chooses its id and times. The error may be ErrNoCustomer,
// ErrNoSuchInstance or ErrAccountTaken.
func (d Directory) CreateIdentity(ctx context.Context, wanted Identity) (i Identity, err error) {
	const q = `
		insert into identities (customer_id, instance_id, channel, external_id, display_name, role_override, verified)
		values ($1, $2, $3, $4, $5, $6, $7)
		returning ` + identityColumns
	err = audit.Change(ctx, d.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &i, q, wanted.CustomerID, wanted.InstanceID, wanted.Channel, wanted.ExternalID,
			wanted.DisplayName, wanted.RoleOverride, wanted.Verified)
		return i.event("identity.created"), mapError(err, "creating an identity", nil, constraintErrors{
			"identities_customer_id_fkey": ErrNoCustomer, "identities_instance_id_fkey": ErrNoSuchInstance, "identities_address": ErrAccountTaken,
		})
	})
	return i, err
}

// ChangeIdentity changes the given fields and returns the identity. The error may be ErrNoIdentity or ErrAccountTaken.
func (d Directory) ChangeIdentity(ctx context.Context, customer, id uuid.UUID, change IdentityChange) (i Identity, err error) {
	if change == (IdentityChange{}) {
		return d.Identity(ctx, customer, id)
	}
	const q = `
		update identities
		   set channel = coalesce($3, channel), external_id = coalesce($4, external_id),
		       display_name = case when $5 then $6 else display_name end, role_override = case when $7 then $8 else role_override end,
		       verified = coalesce($9, verified), updated_at = now()
		 where id = $1 and customer_id = $2
		returning ` + identityColumns
	err = audit.Change(ctx, d.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &i, q, id, customer, change.Channel, change.ExternalID, change.DisplayName.Given, change.DisplayName.Value,
			change.RoleOverride.Given, change.RoleOverride.Value, change.Verified)
		event := i.event("identity.updated")
		event.Details["changed"] = namesOf(map[string]bool{
			"channel": change.Channel != nil, "external_id": change.ExternalID != nil, "display_name": change.DisplayName.Given,
			"role_override": change.RoleOverride.Given, "verified": change.Verified != nil,
		})
		return event, mapError(err, "changing an identity", ErrNoIdentity, constraintErrors{"identities_address": ErrAccountTaken})
	})
	return i, err
}

// DeleteIdentity deletes an identity and the identity's own PIN. The error may be ErrNoIdentity.
func (d Directory) DeleteIdentity(ctx context.Context, customer, id uuid.UUID) error {
	return audit.Change(ctx, d.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		var i Identity
		err := tx.GetContext(ctx, &i, `delete from identities where id = $1 and customer_id = $2 returning `+identityColumns, id, customer)
		return i.event("identity.deleted"), mapError(err, "deleting an identity", ErrNoIdentity, nil)
	})
}

func (i Identity) event(action string) audit.Event {
	return audit.Event{Action: action, CustomerID: audit.ID(i.CustomerID), IdentityID: audit.ID(i.ID), InstanceID: audit.ID(i.InstanceID),
		Details: map[string]any{"channel": i.Channel, "role_override": i.RoleOverride, "verified": i.Verified}}
}
