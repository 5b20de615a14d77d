-- Charges one attempt before the PIN is compared. No row: the budget allows no attempt.
-- $1 holder, $2 attempts before a lock, $3 first lock and $4 longest lock in seconds, $5 failures before the PIN is
-- deactivated (0: never), $6 instance, $7 request id, from $8 the audit row of a lock
	with charge as (
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
	     where h.holder_id = $1 and h.verifier is not null and (h.locked_until is null or h.locked_until <= now()) and h.deactivated_by is null
	    returning h.holder_id, h.charged as number, now() as charged_at, h.verifier, h.generation, h.locked_until,
	              h.deactivated_by is not null as deactivated
	), attempt as (
	    insert into attempts (holder_id, number, charged_at, instance_id, request_id)
	    select holder_id, number, charged_at, $6, $7 from charge
	), lock as (
	    insert into audit (action, actor_kind, actor_id, customer_id, identity_id, instance_id, target_id, request_id, address, details)
	    select case when deactivated then 'pin.deactivated' else 'pin.locked' end, $8, $9, $10, $11, $12, $13, $14, $15, $16
	      from charge where locked_until is not null or deactivated
	)
	select * from charge
