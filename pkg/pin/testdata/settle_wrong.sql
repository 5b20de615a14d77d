-- Settles an attempt whose PIN was wrong. It changes no budget: a charged attempt is a failure from the start.
-- $1 holder, $2 number of the attempt, $3 time of the charge
	update attempts set settled_at = now(), outcome = 'wrong'
	 where holder_id = $1 and number = $2 and charged_at = $3 and outcome is null
