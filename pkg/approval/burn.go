package approval

import (
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/signing"
)

// within is true if the subject of an approval a is still within the instance i.
const within = `(a.identity_id is not null and exists (select from identities d
	                 where d.id = a.identity_id and d.instance_id = i.id and d.customer_id = a.customer_id)
	       or a.identity_id is null and (i.owner_customer_id is not distinct from a.customer_id
	                 or exists (select from identities d where d.customer_id = a.customer_id and d.instance_id = i.id)))`

// burnSQL uses an approval, if everything that the use needs is true. It locks the approval's row and then the rows of the PINs,
// the customer's before the identity's. So it sees every change that was committed before, also when it had to wait for a row:
// Postgres reads a locked row again. A row that did not exist when the statement began, the first PIN of an identity, is visible
// only to a further query, so holds_pin looks for it. The time is read after the locks, because a person may have approved while
// the statement waited. The statement names the key that signs the receipt. testdata/burn.sql shows the complete statement.
var burnSQL = `
	with key as materialized (
	    select k.id, k.instance_id, ` + credential.UseUnrecorded + ` as use_unrecorded
	      from proxy_keys k where k.key_hash = $1 and k.instance_id = $2 and ` + credential.Valid + `
	), a as materialized (
	    select a.id, a.instance_id, a.customer_id, a.identity_id, a.kind, a.arguments, a.status, a.expires_at, a.holder_id, a.session_generation
	      from approvals a where a.id = $3 and a.instance_id = (select instance_id from key)
	       for no key update
	), held as materialized (
	    select h.holder_id, h.session_generation, h.locked_until, h.verifier is not null and h.deactivated_by is null as active
	      from pin_holders h where h.holder_id in ((select customer_id from a), (select identity_id from a))
	     order by h.identity_id nulls first
	       for share
	), moment as materialized (
	    select clock_timestamp() as at, locked.pins, a.identity_id <> a.holder_id and holds_pin(a.identity_id) as replaced
	      from a, (select count(*) as pins from held) locked
	), signer as materialized (
	    ` + signing.Receipts.Current("$8::text[]") + `
	), usable as (
	    select a.id, moment.at, i.pin_session_ttl_minutes * 60 as session_seconds
	      from a cross join moment join instances i on i.id = a.instance_id
	     where a.status = 'approved' and moment.at < a.expires_at
	       and ($4::text is null or a.arguments = $4)
	       and moment.pins > 0 and moment.replaced is not true
	       and exists (select from held h where h.holder_id = a.holder_id and h.session_generation = a.session_generation
	                      and h.active and (h.locked_until is null or h.locked_until <= moment.at))
	       and ` + within + `
	       and (a.kind = 'session' or exists (select from signer))
	), burnt as (
	    update approvals a
	       set status = 'used', use_hash = $5, used_at = u.at,
	           receipt_key_id = case a.kind when 'action' then (select id from signer) end,
	           session_seconds = case a.kind when 'session' then u.session_seconds end
	      from usable u where a.id = u.id
	    returning ` + usedColumns + `
	), noted as (
	    insert into audit (action, ` + audit.Columns + `)
	    select 'approval.used', 'proxy_key', key.id, a.customer_id, a.identity_id, a.instance_id, a.id, $6, $7,
	           jsonb_build_object('grants', a.kind, 'skill', a.skill)
	      from burnt a cross join key
	)
	select a.*, a.used_at as at, signer.private_sealed, key.id as proxy_key_id, key.use_unrecorded
	  from burnt a cross join key left join signer on signer.id = a.receipt_key_id`

// usedColumns are the fields of use, for a row a.
const usedColumns = `a.id, a.instance_id, a.customer_id, a.identity_id, a.kind, a.skill, a.audience, a.action_hash, a.title, a.template, a.nonce, a.key_id,
	              a.decided_at, a.holder_id, a.session_generation, a.use_hash, a.used_at, a.receipt_key_id, a.session_seconds`

// whySQL reads the state that a burn did not allow.
const whySQL = `
	select now() as at, ` + statusNow + ` as status, ` + reasonNow + ` as reason,
	       $3::text is null or a.arguments = $3 as same_arguments, ` + within + ` as within, ` + pinApplies + ` as pin_applies,
	       s.private_sealed, ` + usedColumns + `
	  from approvals a
	  join instances i on i.id = a.instance_id
	  left join pin_holders h on h.holder_id = a.holder_id
	  left join receipt_keys s on s.id = a.receipt_key_id
	 where a.id = $1 and a.instance_id = $2`

// use is a row after its use.
type use struct {
	Row
	HolderID          uuid.NullUUID `db:"holder_id"`
	SessionGeneration uuid.NullUUID `db:"session_generation"`
	UseHash           []byte        `db:"use_hash"`
	ReceiptKeyID      uuid.NullUUID `db:"receipt_key_id"`
	SessionSeconds    *int          `db:"session_seconds"`
	// PrivateSealed is the key that signs the receipt. It is null if that key was revoked.
	PrivateSealed []byte `db:"private_sealed"`
}

// sessionEnd is the end of the session, for a use that made one.
func (u use) sessionEnd() time.Time {
	return u.UsedAt.Add(time.Duration(*u.SessionSeconds) * time.Second)
}
