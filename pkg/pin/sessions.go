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

// Sessions lists and ends sessions.
type Sessions struct {
	DB    *sqlx.DB
	Store *session.Store
}

// LiveSession is a valid session. It was issued at Since and is valid until Until, unless it ends earlier.
type LiveSession struct {
	// IdentityID is nil if the customer was confirmed without an identity.
	IdentityID   *uuid.UUID
	InstanceID   uuid.UUID
	Since, Until time.Time
}

// maxSessionTime is the longest lifetime that a policy allows.
const maxSessionTime = 24 * time.Hour

// Revoke ends one session of an instance. It does nothing if the token names a session of another instance, or no person of this
// one. The revocation is recorded in Postgres, so it counts even if Redis is unreachable or has lost the session now, or loses the
// deletion later.
func (s Sessions) Revoke(ctx context.Context, instance uuid.UUID, text string) error {
	t, err := session.Parse(text)
	if err != nil {
		return nil
	}
	x, _ := s.Store.Get(ctx, t)
	if x != nil && x.InstanceID != instance {
		return nil
	}
	// If Redis does not have the session, only the token's holder is known. A token that names no person of the instance adds no row.
	const q = `
		insert into revoked_sessions (session_hash, instance_id, expires_at)
		select $1, i.id, now() + $4::float8 * interval '1 second'
		  from instances i, pin_holders h
		 where i.id = $2 and h.holder_id = $3
		   and (i.owner_customer_id = h.customer_id
		        or exists (select from identities d where d.customer_id = h.customer_id and d.instance_id = i.id))
		on conflict do nothing`
	if _, err := s.DB.ExecContext(ctx, q, t.Hash(), instance, session.HolderOf(t), maxSessionTime.Seconds()); err != nil {
		return fmt.Errorf("revoking a session: %w", err)
	}
	if x != nil {
		_ = s.Store.Delete(ctx, t) // the session is invalid already; in Redis it expires
	}
	return nil
}

// revoked returns the sessions of a list that agents of their instances revoked, by hash.
func (s Sessions) revoked(ctx context.Context, stored []session.Session) (map[string]bool, error) {
	hashes, instances := make([][]byte, len(stored)), make([]uuid.UUID, len(stored))
	for i, x := range stored {
		hashes[i], instances[i] = x.Hash, x.InstanceID
	}
	const q = `
		select v.session_hash from revoked_sessions v
		  join unnest($1::bytea[], $2::uuid[]) as x (hash, instance_id) on v.session_hash = x.hash and v.instance_id = x.instance_id`
	var found [][]byte
	if err := s.DB.SelectContext(ctx, &found, q, pq.Array(hashes), pq.Array(instances)); err != nil {
		return nil, fmt.Errorf("reading revoked sessions: %w", err)
	}
	revoked := map[string]bool{}
	for _, hash := range found {
		revoked[string(hash)] = true
	}
	return revoked, nil
}

// Live returns the valid sessions of all PINs that a customer holds, newest first. It returns session.ErrUnreachable if Redis does
// not answer.
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
	resolved, err := s.resolve(ctx, customer, stored)
	if err != nil {
		return nil, err
	}
	revoked, err := s.revoked(ctx, stored)
	if err != nil {
		return nil, err
	}
	var live []LiveSession
	for _, x := range stored {
		r := resolved[subjectOf(x)] // the zero Resolved, which accepts no session, if the subject is not within the instance
		r.SessionRevoked = revoked[string(x.Hash)]
		if !r.Accepts(&x) {
			continue
		}
		entry := LiveSession{InstanceID: x.InstanceID, Since: x.IssuedAt, Until: x.ExpiresAt(r.TTL())}
		if x.IdentityID.Valid {
			entry.IdentityID = &x.IdentityID.UUID
		}
		live = append(live, entry)
	}
	slices.SortStableFunc(live, func(a, b LiveSession) int { return b.Since.Compare(a.Since) })
	return live, nil
}

// End ends all sessions of all PINs that a customer holds: it renews the session generation of each of the customer's PINs.
func (s Sessions) End(ctx context.Context, customer uuid.UUID) error {
	var holders []uuid.UUID
	err := audit.Change(ctx, s.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		// Like Set, it locks the customer's row before the rows of the identities, so that the two cannot deadlock.
		const q = `
			with held as materialized (
			    select h.holder_id from pin_holders h
			     where h.customer_id = $1 and h.verifier is not null order by h.identity_id nulls first for no key update
			)
			update pin_holders h set session_generation = gen_random_uuid() from held where h.holder_id = held.holder_id
			returning h.holder_id`
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
	_ = s.Store.Forget(ctx, holders) // the sessions are invalid already; in Redis they expire
	return nil
}

// sessionSubject is what a session was issued for, within its customer.
type sessionSubject struct {
	instance uuid.UUID
	identity uuid.NullUUID
}

func subjectOf(x session.Session) sessionSubject { return sessionSubject{x.InstanceID, x.IdentityID} }

// resolve reads, in one query, the state of each subject that a customer's sessions were issued for, without roles. The result
// has no entry for a subject that is not within its instance any more.
func (s Sessions) resolve(ctx context.Context, customer uuid.UUID, stored []session.Session) (map[sessionSubject]Resolved, error) {
	resolved := map[sessionSubject]Resolved{}
	var instances []uuid.UUID
	var identities []uuid.NullUUID
	for _, x := range stored {
		instances, identities = append(instances, x.InstanceID), append(identities, x.IdentityID)
	}
	if len(stored) == 0 {
		return resolved, nil
	}
	const q = `
		select ` + resolvedColumns + `
		  from (select distinct * from unnest($2::uuid[], $3::uuid[]) as asked (instance_id, identity_id)) asked
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
	var found []Resolved
	if err := s.DB.SelectContext(ctx, &found, q, customer, pq.Array(instances), pq.Array(identities)); err != nil {
		return nil, fmt.Errorf("resolving the subjects of a customer's sessions: %w", err)
	}
	for _, r := range found {
		resolved[sessionSubject{r.InstanceID, r.IdentityID}] = r
	}
	return resolved, nil
}
