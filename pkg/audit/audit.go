// Package audit keeps the trail of what was changed and refused: by whom, when, from where, by which request. A change
// and its row are one transaction.
package audit

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/caller"
)

// Event is one row of the trail. Who did it and by which request is taken from the context's caller.
type Event struct {
	// Action is noun.verb, as "pin.set".
	Action     string
	CustomerID uuid.NullUUID
	IdentityID uuid.NullUUID
	InstanceID uuid.NullUUID
	// TargetID is what was changed when it is none of the three: a key, a user, a sign-in session.
	TargetID uuid.NullUUID
	// Details never hold a secret, and name what is personal (an address, a name) without repeating it: the trail outlives
	// the person's row.
	Details map[string]any
}

// Record adds an event to the trail, in the transaction (or on the connection) it is handed.
func Record(ctx context.Context, db sqlx.ExecerContext, e Event) error { return record(ctx, db, e, "") }

// Refused notes that the caller was refused something, as details say. Once a minute is enough of the same: whoever goes
// on trying does not fill the trail.
func Refused(ctx context.Context, db sqlx.ExecerContext, details map[string]any) error {
	return record(ctx, db, Event{Action: "access.refused", Details: details}, `
		 where not exists (select from audit where action = $3 and actor_id = $2 and details = $10 and at > now() - interval '1 minute')`)
}

func record(ctx context.Context, db sqlx.ExecerContext, e Event, condition string) error {
	who := caller.From(ctx)
	if who.Kind == "" {
		who.Kind = caller.Anonymous
	}
	if !e.InstanceID.Valid {
		e.InstanceID = ID(who.InstanceID) // a proxy key acts within its instance
	}
	if e.Details == nil {
		e.Details = map[string]any{}
	}
	details, err := json.Marshal(e.Details)
	if err != nil {
		return fmt.Errorf("encoding the details of %s: %w", e.Action, err)
	}
	const q = `
		insert into audit (actor_kind, actor_id, action, customer_id, identity_id, instance_id, target_id, request_id, address, details)
		select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10`
	_, err = db.ExecContext(ctx, q+condition, who.Kind, ID(who.ID), e.Action, e.CustomerID, e.IdentityID, e.InstanceID, e.TargetID,
		who.RequestID, who.Address, string(details))
	if err != nil {
		return fmt.Errorf("recording %s: %w", e.Action, err)
	}
	return nil
}

// Change makes a change and its row of the trail, or neither of the two. The error is the change's own.
func Change(ctx context.Context, db *sqlx.DB, do func(tx *sqlx.Tx) (Event, error)) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a change: %w", err)
	}
	defer tx.Rollback()
	event, err := do(tx)
	if err != nil {
		return err
	}
	if err := Record(ctx, tx, event); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing %s: %w", event.Action, err)
	}
	return nil
}

// ID makes the optional id of an Event.
func ID(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }
