package approval

import (
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/fault"
)

// Errors of the limits. RetryAfter says when the next request can succeed.
var (
	ErrTooManyPending = fault.New(fault.Conflict, "too_many_pending", "Too many approvals of this customer wait for an answer")
	ErrDeniedRecently = fault.New(fault.Conflict, "denied_recently", "The person denied this action a short time ago")
	ErrSkillDenied    = fault.New(fault.Conflict, "skill_denied", "The person denied this skill several times")
	ErrRateLimited    = fault.New(fault.RateLimited, "approvals_rate_limited", "Too many approvals were asked of this customer in the last hour")
)

// askSQL asks for an approval, within the limits, in one round trip. recent_approvals lets requests of one customer at one instance
// follow each other, and returns what the request before has written. So 100 parallel requests make one approval, and no limit is
// exceeded.
//
// The index of pending approvals may still have an approval of the same request that is over, because the sweeper has not written
// that yet. Then the statement inserts nothing. The caller ends that approval and runs the statement again.
const askSQL = `
	with recent as materialized (
	    select * from recent_approvals($3, $2, $16 * interval '1 second')
	), live as (
	    select a.* from recent a where a.status = 'pending' and not (` + timeOver + ` or ` + triesLost + `)
	), denied as (
	    select a.* from recent a where a.status = 'denied' and a.reason = 'person'
	), verdict as (
	    select (select l.id from live l where l.action_hash = $10 and l.kind = $6 and l.identity_id is not distinct from $4) as same,
	           (select extract(epoch from max(d.decided_at) - now())::float8 + $17 from denied d where d.action_hash = $10) as denied,
	           (select extract(epoch from max(d.decided_at) - now())::float8 + $19
	              from (select d.decided_at, lag(d.decided_at, $18 - 1) over (order by d.decided_at) as earlier from denied d where d.skill = $7) d
	             where d.earlier > d.decided_at - $19 * interval '1 second') as skill_denied,
	           (select extract(epoch from a.created_at - now())::float8 + 3600 from recent a order by a.created_at desc offset $20 - 1 limit 1) as per_hour,
	           (select extract(epoch from min(l.expires_at) - now())::float8 from live l having count(*) >= $21) as pending
	), asked as (
	    insert into approvals (id, instance_id, customer_id, identity_id, proxy_key_id, requester, kind, skill, audience, arguments, action_hash,
	                           title, template, note, nonce, key_id, link_hash, expires_at)
	    select $1, $2, $3, $4, $5, (select k.name from proxy_keys k where k.id = $5), $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $22,
	           now() + $23 * interval '1 second'
	      from verdict v
	     where v.same is null and greatest(v.denied, v.skill_denied, v.per_hour, v.pending, 0) = 0
	    on conflict do nothing
	    returning *
	), recorded as (
	    insert into audit (action, ` + audit.Columns + `)
	    select 'approval.asked', $24, $25, $26, $27, $28, $29, $30, $31, $32 from asked
	)
	select v.same, v.denied, v.skill_denied, v.per_hour, v.pending, now() as at, a.requester, a.created_at, a.expires_at
	  from verdict v left join asked a on true`

// verdict is the result of askSQL: the pending approval of the same request, or the seconds for which a limit refuses the request,
// or the new approval.
type verdict struct {
	Same        uuid.NullUUID `db:"same"`
	Denied      *float64      `db:"denied"`
	SkillDenied *float64      `db:"skill_denied"`
	PerHour     *float64      `db:"per_hour"`
	Pending     *float64      `db:"pending"`

	At        time.Time  `db:"at"`
	Requester *string    `db:"requester"`
	CreatedAt *time.Time `db:"created_at"`
	ExpiresAt *time.Time `db:"expires_at"`
}

// refusal returns the error of the first limit that refuses the request, or nil.
func (v verdict) refusal() error {
	for _, limit := range []struct {
		seconds *float64
		err     *fault.Error
	}{{v.Denied, ErrDeniedRecently}, {v.SkillDenied, ErrSkillDenied}, {v.PerHour, ErrRateLimited}, {v.Pending, ErrTooManyPending}} {
		if limit.seconds != nil && *limit.seconds > 0 {
			return limit.err.RetryAfter(time.Duration(*limit.seconds * float64(time.Second)))
		}
	}
	return nil
}

// nothing reports whether the statement did nothing although no limit refuses the request: an old approval of the same request is in
// the way.
func (v verdict) nothing() bool { return !v.Same.Valid && v.CreatedAt == nil && v.refusal() == nil }
