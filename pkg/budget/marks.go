// Package budget is the guess budget: how often somebody may guess at one secret. An attempt is charged before its
// candidate is compared and forgiven only by a right one, so a crash, a cancelled request or a parallel guess is never
// free.
//
// Charged attempts are numbered 1, 2, 3, … for each secret. The budget is a few marks on that line, columns of the row that
// it belongs to, and not a counter that somebody has to put back: since the window began, charged - window_start attempts
// were spent; since the last right one, charged - forgiven failed.
package budget

// The parts of a statement that charges the row h of a table that has the marks as columns: set (Marks) = (select Charged
// from Next) where Allows. It is one statement, so that the row's lock decides between attempts that come together. The last
// attempt that the budget allows writes the lock itself, before its candidate is looked at: when its replica dies, the lock
// stands. In Next, fills says that the attempt fills the window, ends that it is the last ever.
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

// Forgiven is what a right attempt, number $2, sets in its row h: it forgives those up to its own number and lifts what they
// wrote ahead. A lock that a later one wrote stays.
const Forgiven = `forgiven = greatest(h.forgiven, $2), window_start = greatest(h.window_start, $2),
	           locks = case when h.locked_by <= $2 then 0 else h.locks end,
	           locked_until = case when h.locked_by <= $2 then null else h.locked_until end,
	           deactivated_by = case when h.deactivated_by <= $2 then null else h.deactivated_by end`
