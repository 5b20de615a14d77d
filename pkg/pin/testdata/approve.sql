-- Approves, after the attempt was settled as right in the same transaction. No row: the approval was decided, or its time is over.
-- $1 approval, $2 holder of the PIN, $3 its session generation, $4 seconds for the use
	update approvals a
	   set status = 'approved', decided_at = now(), expires_at = now() + $4::float8 * interval '1 second',
	       holder_id = $2, session_generation = $3
	 where a.id = $1 and a.status = 'pending' and a.expires_at > now()
	returning true as approved, a.status, a.reason, a.tries
