package pin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/session"
)

// Sessions lists and ends the sessions of a customer, whichever of the customer's PINs they rest on.
type Sessions struct {
	DB    *sqlx.DB
	Store session.Store
}

// LiveSession is a session that counts: it was given at Since and counts until Until, unless it is ended before.
type LiveSession struct {
	// IdentityID is nil when the customer as such was confirmed.
	IdentityID   *uuid.UUID
	InstanceID   uuid.UUID
	Since, Until time.Time
}

// Live returns the sessions of a customer that count now, the newest first. It returns session.ErrAway.
func (s Sessions) Live(ctx context.Context, customer uuid.UUID) ([]LiveSession, error) {
	var holders []uuid.UUID
	const q = `select holder_id from pin_holders where customer_id = $1 and verifier is not null order by holder_id`
	if err := s.DB.SelectContext(ctx, &holders, q, customer); err != nil {
		return nil, fmt.Errorf("listing a customer's PINs: %w", err)
	}
	stored, err := s.Store.OfHolders(ctx, holders)
	if err != nil {
		return nil, err
	}
	standings, err := s.standings(ctx, customer, stored)
	if err != nil {
		return nil, err
	}
	var live []LiveSession
	for _, x := range stored {
		standing := standings[subjectOf(x)] // of a subject that is gone: the zero Standing, which accepts nothing
		if !standing.Accepts(&x) {
			continue
		}
		one := LiveSession{InstanceID: x.InstanceID, Since: x.IssuedAt, Until: x.ExpiresAt(standing.TTL())}
		if x.IdentityID.Valid {
			one.IdentityID = &x.IdentityID.UUID
		}
		live = append(live, one)
	}
	slices.SortStableFunc(live, func(a, b LiveSession) int { return b.Since.Compare(a.Since) })
	return live, nil
}

// End ends all sessions of a customer, by renewing what they rest on.
func (s Sessions) End(ctx context.Context, customer uuid.UUID) error {
	var holders []uuid.UUID
	err := audit.Change(ctx, s.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		const q = `update pin_holders set session_generation = gen_random_uuid() where customer_id = $1 and verifier is not null returning holder_id`
		if err := tx.SelectContext(ctx, &holders, q, customer); err != nil {
			return audit.Event{}, fmt.Errorf("ending a customer's sessions: %w", err)
		}
		if len(holders) == 0 {
			return audit.Event{}, errUnchanged
		}
		return audit.Event{Action: "sessions.ended", CustomerID: audit.ID(customer)}, nil
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = s.Store.Forget(ctx, holders) // they have ended; what Redis still has runs out by itself
	return nil
}

// subject is what a session was given for, within its customer.
type subject struct {
	instance uuid.UUID
	identity uuid.NullUUID
}

func subjectOf(x session.Session) subject { return subject{x.InstanceID, x.IdentityID} }

// standings asks, in one query, how those stand for whom a customer's sessions were given, without their roles. A
// subject that is no longer within its instance is left out.
func (s Sessions) standings(ctx context.Context, customer uuid.UUID, stored []session.Session) (map[subject]Standing, error) {
	standings := map[subject]Standing{}
	var instances []uuid.UUID
	var identities []uuid.NullUUID
	for _, x := range stored {
		if _, asked := standings[subjectOf(x)]; !asked {
			standings[subjectOf(x)] = Standing{}
			instances, identities = append(instances, x.InstanceID), append(identities, x.IdentityID)
		}
	}
	if len(standings) == 0 {
		return standings, nil
	}
	const q = `
		select ` + standingColumns + `
		  from unnest($2::uuid[], $3::uuid[]) as asked (instance_id, identity_id)
		  join instances i on i.id = asked.instance_id
		  join lateral (
		         select d.customer_id, d.id as identity_id
		           from identities d
		          where d.id = asked.identity_id and d.instance_id = i.id and d.customer_id = $1
		          union all
		         select c.id, null
		           from customers c
		          where asked.identity_id is null and c.id = $1
		            and (i.owner_customer_id = c.id
		                 or exists (select from identities d where d.customer_id = c.id and d.instance_id = i.id))
		       ) s on true
		  ` + applyingPIN
	var found []Standing
	if err := s.DB.SelectContext(ctx, &found, q, customer, pq.Array(instances), pq.Array(identities)); err != nil {
		return nil, fmt.Errorf("asking what a customer's sessions rest on: %w", err)
	}
	for _, standing := range found {
		standings[subject{standing.InstanceID, standing.IdentityID}] = standing
	}
	return standings, nil
}
