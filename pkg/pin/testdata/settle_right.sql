-- Settles an attempt whose PIN was right. No row: the outcome came too late, or the PIN was replaced meanwhile.
-- $1 holder, $2 number of the attempt, $3 generation of the compared PIN, $4 seconds for which an outcome counts,
-- $5 time of the charge
	with settled as (
	    update pin_holders h
	       set forgiven = greatest(h.forgiven, $2), window_start = greatest(h.window_start, $2),
	           locks = case when h.locked_by <= $2 then 0 else h.locks end,
	           locked_until = case when h.locked_by <= $2 then null else h.locked_until end,
	           deactivated_by = case when h.deactivated_by <= $2 then null else h.deactivated_by end
	     where h.holder_id = $1 and h.generation = $3
	       and exists (select from attempts a where a.holder_id = $1 and a.number = $2 and a.charged_at = $5 and a.outcome is null
	                      and a.charged_at > now() - $4::float8 * interval '1 second')
	    returning now() as at, h.charged - h.window_start as spent, h.session_generation, h.deactivated_by is not null as deactivated,
	              case when h.locked_until > now() and h.deactivated_by is null then h.locked_until end as locked_until
	), noted as (
	    update attempts set settled_at = now(), outcome = case when exists (select from settled) then 'right' else 'lost' end
	     where holder_id = $1 and number = $2 and charged_at = $5 and outcome is null
	)
	select * from settled
