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
	// Details never hold a secret.
	Details map[string]any
}

// Record adds an event to the trail, in the transaction (or on the connection) it is handed.
func Record(ctx context.Context, db sqlx.ExecerContext, e Event) error {
	who := caller.From(ctx)
	if who.Kind == "" {
		who.Kind = caller.Anonymous
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
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	actor := uuid.NullUUID{UUID: who.ID, Valid: who.ID != uuid.Nil}
	_, err = db.ExecContext(ctx, q, who.Kind, actor, e.Action, e.CustomerID, e.IdentityID, e.InstanceID, e.TargetID, who.RequestID, who.Address, details)
	if err != nil {
		return fmt.Errorf("recording %s: %w", e.Action, err)
	}
	return nil
}

// ID makes the optional id of an Event.
func ID(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }
