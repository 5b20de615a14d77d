// Package audit writes and reads the audit trail: who changed what, when, from which address, and in which request. It also
// records refusals. A change and its row are written in one transaction.
package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/stores"
)

// Event is one row of the trail. The actor, the address and the request come from the caller in the context.
type Event struct {
	// Action is noun.verb, for example "pin.set".
	Action     string
	CustomerID uuid.NullUUID
	IdentityID uuid.NullUUID
	InstanceID uuid.NullUUID
	// TargetID is the id of another changed thing: a key, a user or a user session.
	TargetID uuid.NullUUID
	// Details must not contain a secret, an address or a person's name, because the row stays when the person is deleted.
	// They may say that such a field was changed.
	Details map[string]any
}

// Record adds an event to the trail. db is the transaction of the change.
func Record(ctx context.Context, db sqlx.ExecerContext, e Event) error { return record(ctx, db, e, "") }

// RecordRefusedAccess records that a request of the caller was refused. It writes equal refusals of one caller at most once a
// minute, so that a caller that repeats a request does not fill the trail.
func RecordRefusedAccess(ctx context.Context, db sqlx.ExecerContext, details map[string]any) error {
	return record(ctx, db, Event{Action: "access.refused", Details: details}, `
		 where not exists (select from audit where action = $1 and actor_id = $3 and details = $10 and at > now() - interval '1 minute')`)
}

// refusalTime limits how long RecordRefusal waits for the database.
const refusalTime = 5 * time.Second

// RecordRefusal adds an event about a refusal to the trail, even when the client has disconnected, and returns refusal. It
// returns another error if the event cannot be recorded.
func RecordRefusal(ctx context.Context, db sqlx.ExecerContext, e Event, refusal error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalTime)
	defer cancel()
	if err := Record(ctx, db, e); err != nil {
		return err
	}
	return refusal
}

func record(ctx context.Context, db sqlx.ExecerContext, e Event, condition string) error {
	const q = `insert into audit (action, ` + Columns + `) select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10`
	values, err := e.Values(ctx)
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, q+condition, append([]any{e.Action}, values...)...); err != nil {
		return fmt.Errorf("recording %s: %w", e.Action, err)
	}
	return nil
}

// Columns are the columns of Values. Package pin uses both, because the statement that charges an attempt also adds the row
// of the lock that it writes.
const Columns = `actor_kind, actor_id, customer_id, identity_id, instance_id, target_id, request_id, address, details`

// Values returns the values of an event's row except its action, in the order of Columns.
func (e Event) Values(ctx context.Context) ([]any, error) {
	actor := caller.From(ctx)
	if actor.Kind == "" {
		actor.Kind = caller.Anonymous
	}
	if !e.InstanceID.Valid {
		e.InstanceID = ID(actor.InstanceID) // only a proxy key has an instance
	}
	if e.Details == nil {
		e.Details = map[string]any{}
	}
	details, err := json.Marshal(e.Details)
	if err != nil {
		return nil, fmt.Errorf("encoding the details of %s: %w", e.Action, err)
	}
	return []any{actor.Kind, ID(actor.ID), e.CustomerID, e.IdentityID, e.InstanceID, e.TargetID, actor.RequestID, actor.Address, string(details)}, nil
}

// Change runs do in a transaction and records the event that do returns. If one of the two fails, both are rolled back. The
// error of do is returned unchanged.
func Change(ctx context.Context, db *sqlx.DB, do func(tx *sqlx.Tx) (Event, error)) error {
	return stores.InTransaction(ctx, db, func(tx *sqlx.Tx) error {
		event, err := do(tx)
		if err != nil {
			return err
		}
		return Record(ctx, tx, event)
	})
}

// ID converts an id to an optional id. uuid.Nil becomes null.
func ID(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }
