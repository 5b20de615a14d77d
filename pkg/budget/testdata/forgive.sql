-- Forgives the guesses up to a right one.
-- $1 subject, $2 number of the right guess
	update guess_budgets h
	       set forgiven = greatest(h.forgiven, $2), window_start = greatest(h.window_start, $2),
	           locks = case when h.locked_by <= $2 then 0 else h.locks end,
	           locked_until = case when h.locked_by <= $2 then null else h.locked_until end,
	           deactivated_by = case when h.deactivated_by <= $2 then null else h.deactivated_by end
	 where h.subject = $1
