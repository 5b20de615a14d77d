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

// ErrNoOwner says that the new owner of an instance is not a customer.
var ErrNoOwner = fault.New(fault.Invalid, "owner_not_found", "There is no such customer").About("owner_customer_id")

// Instance is one running agent.
type Instance struct {
	CreatedAt time.Time `db:"created_at"`
	ID        uuid.UUID `db:"id"`
	Name      string    `db:"name"`
	// OwnerCustomerID is nil if the instance has no owner.
	OwnerCustomerID *uuid.UUID `db:"owner_customer_id"`
	UpdatedAt       time.Time  `db:"updated_at"`
}

const instanceColumns = `created_at, id, name, owner_customer_id, updated_at`

// InstanceChange is a change of an instance. A field that is nil or not given stays as it is.
type InstanceChange struct {
	Name            *string
	OwnerCustomerID patch.Field[uuid.UUID]
}

// Instances returns one page of all instances.
func (d Directory) Instances(ctx context.Context, p page.Page) (page.Of[Instance], error) {
	return page.Read[Instance](ctx, d.DB, page.List{
		Columns: instanceColumns, Table: `instances`, Searched: []string{`lower(name)`}, Sorts: map[string]string{"name": `lower(name)`},
	}, p)
}

// Instance returns one instance. The error may be ErrNoInstance.
func (d Directory) Instance(ctx context.Context, id uuid.UUID) (Instance, error) {
	var i Instance
	err := d.DB.GetContext(ctx, &i, `select `+instanceColumns+` from instances where id = $1`, id)
	return i, mapError(err, "reading an instance", ErrNoInstance, nil)
}

// CreateInstance adds an instance. enforcement is that of its PIN policy, whose other fields have their defaults. The error may
// be ErrNoOwner.
func (d Directory) CreateInstance(ctx context.Context, name string, owner *uuid.UUID, enforcement string) (i Instance, err error) {
	const q = `insert into instances (name, owner_customer_id, enforcement) values ($1, $2, $3) returning ` + instanceColumns
	err = audit.Change(ctx, d.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &i, q, name, owner, enforcement)
		event := i.event("instance.created")
		event.Details["enforcement"] = enforcement
		return event, mapError(err, "creating an instance", nil, constraintErrors{"instances_owner_customer_id_fkey": ErrNoOwner})
	})
	return i, err
}

// ChangeInstance changes the given fields and returns the instance. The error may be ErrNoInstance or ErrNoOwner.
func (d Directory) ChangeInstance(ctx context.Context, id uuid.UUID, change InstanceChange) (i Instance, err error) {
	if change == (InstanceChange{}) {
		return d.Instance(ctx, id)
	}
	const q = `
		update instances
		   set name = coalesce($2, name), owner_customer_id = case when $3 then $4 else owner_customer_id end, updated_at = now()
		 where id = $1
		returning ` + instanceColumns
	err = audit.Change(ctx, d.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		err := tx.GetContext(ctx, &i, q, id, change.Name, change.OwnerCustomerID.Given, change.OwnerCustomerID.Value)
		return i.event("instance.updated"), mapError(err, "changing an instance", ErrNoInstance, constraintErrors{"instances_owner_customer_id_fkey": ErrNoOwner})
	})
	return i, err
}

// DeleteInstance deletes an instance with its proxy keys and identities. The error may be ErrNoInstance.
func (d Directory) DeleteInstance(ctx context.Context, id uuid.UUID) error {
	return audit.Change(ctx, d.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		var i Instance
		err := tx.GetContext(ctx, &i, `delete from instances where id = $1 returning `+instanceColumns, id)
		return i.event("instance.deleted"), mapError(err, "deleting an instance", ErrNoInstance, nil)
	})
}

func (i Instance) event(action string) audit.Event {
	return audit.Event{Action: action, InstanceID: audit.ID(i.ID), Details: map[string]any{"name": i.Name, "owner_customer_id": i.OwnerCustomerID}}
}
