-- Uses an approval, if everything that the use needs is true. No row: it is not.
-- $1 hash of the proxy key, $2 instance, $3 approval, $4 canonical arguments (null: not compared), $5 hash of the use_id,
-- $6 request id, $7 address, $8 ids of the keys on the ring
	with key as materialized (
	    select k.id, k.instance_id, (k.last_used_at is null or k.last_used_at < now() - interval '1 minute') as use_unrecorded
	      from proxy_keys k where k.key_hash = $1 and k.instance_id = $2 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
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
	    select id, private_sealed from receipt_keys
	         where (retired_at is null or retired_at > now()) and split_part(encode(private_sealed, 'escape'), ':', 1) = any($8::text[])
	         order by greatest(created_at, now() - interval '10 minutes'), created_at desc, id limit 1
	), usable as (
	    select a.id, moment.at, i.pin_session_ttl_minutes * 60 as session_seconds
	      from a cross join moment join instances i on i.id = a.instance_id
	     where a.status = 'approved' and moment.at < a.expires_at
	       and ($4::text is null or a.arguments = $4)
	       and moment.pins > 0 and moment.replaced is not true
	       and exists (select from held h where h.holder_id = a.holder_id and h.session_generation = a.session_generation
	                      and h.active and (h.locked_until is null or h.locked_until <= moment.at))
	       and (a.identity_id is not null and exists (select from identities d
	                 where d.id = a.identity_id and d.instance_id = i.id and d.customer_id = a.customer_id)
	       or a.identity_id is null and (i.owner_customer_id is not distinct from a.customer_id
	                 or exists (select from identities d where d.customer_id = a.customer_id and d.instance_id = i.id)))
	       and (a.kind = 'session' or exists (select from signer))
	), burnt as (
	    update approvals a
	       set status = 'used', use_hash = $5, used_at = u.at,
	           receipt_key_id = case a.kind when 'action' then (select id from signer) end,
	           session_seconds = case a.kind when 'session' then u.session_seconds end
	      from usable u where a.id = u.id
	    returning a.id, a.instance_id, a.customer_id, a.identity_id, a.kind, a.skill, a.audience, a.action_hash, a.title, a.template, a.nonce, a.key_id,
	              a.decided_at, a.holder_id, a.session_generation, a.use_hash, a.used_at, a.receipt_key_id, a.session_seconds
	), noted as (
	    insert into audit (action, actor_kind, actor_id, customer_id, identity_id, instance_id, target_id, request_id, address, details)
	    select 'approval.used', 'proxy_key', key.id, a.customer_id, a.identity_id, a.instance_id, a.id, $6, $7,
	           jsonb_build_object('grants', a.kind, 'skill', a.skill)
	      from burnt a cross join key
	)
	select a.*, a.used_at as at, signer.private_sealed, key.id as proxy_key_id, key.use_unrecorded
	  from burnt a cross join key left join signer on signer.id = a.receipt_key_id
