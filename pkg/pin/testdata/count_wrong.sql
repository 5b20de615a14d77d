-- Counts a wrong try of an approval. The second one denies it. No row: the approval was decided meanwhile.
-- $1 approval
	update approvals a
	   set wrong = a.wrong + 1,
	       status = case when a.wrong + 1 >= 2 then 'denied' else a.status end,
	       reason = case when a.wrong + 1 >= 2 then 'wrong_pin' else a.reason end,
	       decided_at = case when a.wrong + 1 >= 2 then now() else a.decided_at end
	 where a.id = $1 and a.status = 'pending' and a.wrong < a.tries
	returning a.status
