-- Charges one attempt for an approval, and takes one of its two tries. No row: the budget allows no attempt. A row with the number 0:
-- the approval allows no try. Nothing was charged or taken then.
-- $1 to $16 as in charge.sql, $17 approval
	with approval as materialized (
	    select a.id from approvals a
	     where a.id = $17 and a.status = 'pending' and a.expires_at > now() and a.tries < 2
	       for no key update
	), charge as (
	    update pin_holders h
	       set (charged, window_start, locks, locked_by, locked_until, deactivated_by, session_generation) = (
	           select n,
	                  case when fills then n else h.window_start end,
	                  h.locks + fills::int,
	                  case when fills then n else h.locked_by end,
	                  case when fills and not ends
	                       then now() + least($3::float8 * 2 ^ least(h.locks, 30), $4::float8) * interval '1 second' end,
	                  case when ends then n end,
	                  case when fills or ends then gen_random_uuid() else h.session_generation end
	             from (select h.charged + 1 as n) as next,
	                  lateral (select n - h.window_start >= $2 as fills, $5 > 0 and n - h.forgiven >= $5 as ends) as this)
	     where h.holder_id = $1 and h.verifier is not null and (h.locked_until is null or h.locked_until <= now()) and h.deactivated_by is null and exists (select from approval)
	    returning h.holder_id, h.charged as number, now() as charged_at, h.verifier, h.generation, h.locked_until,
	              h.deactivated_by is not null as deactivated
	), try as (
	    update approvals set tries = tries + 1, tried_at = now() where id = $17 and exists (select from charge)
	), attempt as (
	    insert into attempts (holder_id, number, charged_at, instance_id, request_id)
	    select holder_id, number, charged_at, $6, $7 from charge
	), lock as (
	    insert into audit (action, actor_kind, actor_id, customer_id, identity_id, instance_id, target_id, request_id, address, details)
	    select case when deactivated then 'pin.deactivated' else 'pin.locked' end, $8, $9, $10, $11, $12, $13, $14, $15, $16
	      from charge where locked_until is not null or deactivated
	)
	select * from charge
	 union all
	select $1, 0, now(), '', $1, null, false where not exists (select from approval)
