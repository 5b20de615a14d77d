-- Charges one guess at a password or a second factor before it is compared. No row: the budget allows no guess.
-- $1 subject, $2 guesses before a lock, $3 first lock and $4 longest lock in seconds, $5 failures before the budget is used
-- up (0: never), $6 kind
	insert into guess_budgets as h (subject, kind, charged, window_start, locks, locked_by, locked_until, deactivated_by)
	select $1, $6, first.*
	  from (values (0::bigint, 0::bigint, 0::bigint, 0, 0::bigint, null::timestamptz, null::bigint))
	       h (charged, forgiven, window_start, locks, locked_by, locked_until, deactivated_by),
	       lateral (
	           select n,
	                  case when fills then n else h.window_start end,
	                  h.locks + fills::int,
	                  case when fills then n else h.locked_by end,
	                  case when fills and not ends
	                       then now() + least($3::float8 * 2 ^ least(h.locks, 30), $4::float8) * interval '1 second' end,
	                  case when ends then n end
	             from (select h.charged + 1 as n) as next,
	                  lateral (select n - h.window_start >= $2 as fills, $5 > 0 and n - h.forgiven >= $5 as ends) as this) first
	on conflict (subject) do update
	       set (charged, window_start, locks, locked_by, locked_until, deactivated_by, charged_at) = (
	           select n,
	                  case when fills then n else h.window_start end,
	                  h.locks + fills::int,
	                  case when fills then n else h.locked_by end,
	                  case when fills and not ends
	                       then now() + least($3::float8 * 2 ^ least(h.locks, 30), $4::float8) * interval '1 second' end,
	                  case when ends then n end,
	                  now()
	             from (select h.charged + 1 as n) as next,
	                  lateral (select n - h.window_start >= $2 as fills, $5 > 0 and n - h.forgiven >= $5 as ends) as this)
	 where (h.locked_until is null or h.locked_until <= now()) and h.deactivated_by is null
	returning charged as number, coalesce(greatest(extract(epoch from locked_until - now()), 0), 0)::float8 as locked_for, deactivated_by is not null as used_up
