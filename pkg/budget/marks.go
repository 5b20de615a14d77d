// Package budget limits how often one secret may be guessed. An attempt is charged before its candidate is compared, and only
// a right candidate forgives the charge. So a crash, a cancelled request or a parallel guess still costs an attempt.
//
// The charged attempts of a secret have the numbers 1, 2, 3, … The budget is a few marks on this line, which are columns of
// one row: charged - window_start attempts were charged since the start of the window, and charged - forgiven attempts since
// the last right one. No counter has to be reset.
// The design: docs/architecture.md, section 5.
package budget

// The parts of a statement that charges a row h with these columns: set (Marks) = (select Charged from Next) where Allows. It
// is one statement, so Postgres's row lock orders parallel attempts. The last attempt that the budget allows writes the lock
// itself, before its candidate is compared. So the lock exists even if the replica crashes then. In Next, fills means that
// this attempt is the last one in the window, and ends means that it is the last one before the secret must be set again.
// testdata/charge.sql shows a complete statement.
const (
	Marks   = `charged, window_start, locks, locked_by, locked_until, deactivated_by`
	Charged = `n,
	                  case when fills then n else h.window_start end,
	                  h.locks + fills::int,
	                  case when fills then n else h.locked_by end,
	                  case when fills and not ends
	                       then now() + least($3::float8 * 2 ^ least(h.locks, 30), $4::float8) * interval '1 second' end,
	                  case when ends then n end`
	Next = `(select h.charged + 1 as n) as next,
	                  lateral (select n - h.window_start >= $2 as fills, $5 > 0 and n - h.forgiven >= $5 as ends) as this`
	Allows = `(h.locked_until is null or h.locked_until <= now()) and h.deactivated_by is null`
)

// Forgiven is what a right attempt with the number $2 sets in its row h. It forgives the attempts up to its own number and
// removes the lock and the deactivation that they wrote. A lock that a later attempt wrote stays.
const Forgiven = `forgiven = greatest(h.forgiven, $2), window_start = greatest(h.window_start, $2),
	           locks = case when h.locked_by <= $2 then 0 else h.locks end,
	           locked_until = case when h.locked_by <= $2 then null else h.locked_until end,
	           deactivated_by = case when h.deactivated_by <= $2 then null else h.deactivated_by end`
