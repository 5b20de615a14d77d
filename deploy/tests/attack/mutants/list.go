package main

// mutant is one rule broken on purpose.
type mutant struct {
	name  string
	edits []edit
}

// edit replaces a text that stands once in a file.
type edit struct{ file, old, new string }

const (
	verify   = "pkg/pin/verify.go"
	statem   = "pkg/pin/store.go"
	enrol    = "pkg/pin/enrol.go"
	marks    = "pkg/budget/marks.go"
	standing = "pkg/pin/standing.go"
	pool     = "pkg/slowhash/pool.go"
)

func one(name, file, old, new string) mutant { return mutant{name, []edit{{file, old, new}}} }

var mutants = []mutant{
	one("the budget is looked at before the charge and not by it", statem,
		"h.verifier is not null and ` + budget.Allows + `", "h.verifier is not null"),
	one("the charge adds to what was read before", marks,
		"(select h.charged + 1 as n) as next", "(select (select p.charged from pin_holders p where p.holder_id = $1) + 1 as n) as next"),
	one("an attempt without a verdict is refunded", verify,
		"right, err := v.hasher.matches(ctx, place, c.HolderID, candidate, c.Verifier)\n\tif err != nil {",
		"right, err := v.hasher.matches(ctx, place, c.HolderID, candidate, c.Verifier)\n\tif err != nil {\n\t\tv.store.db.MustExec(`update pin_holders set charged = charged - 1 where holder_id = $1`, c.HolderID)"),
	one("hanging up cancels what was charged", verify, "context.WithoutCancel(ctx)", "ctx"),
	{"the charge is in a transaction that a failed verification rolls back", []edit{
		{statem, "func (s store) charge(ctx context.Context, st", "func (s store) charge(ctx context.Context, tx *sqlx.Tx, st"},
		{statem, "err := s.chargeQ.Get(ctx, &c, append(args, st.InstanceID, caller.From(ctx).RequestID)...)",
			"err := tx.GetContext(ctx, &c, chargeSQL, append(args, st.InstanceID, caller.From(ctx).RequestID)...)"},
		{verify, "c, err := v.store.charge(ctx, s, v.budget)",
			"tx, err := v.store.db.BeginTxx(ctx, nil)\n\tif err != nil {\n\t\treturn Result{}, err\n\t}\n\tdefer tx.Rollback()\n\tc, err := v.store.charge(ctx, tx, s, v.budget)"},
		{verify, "v.comparisons.Inc()\n", "v.comparisons.Inc()\n\tif right {\n\t\t_ = tx.Commit()\n\t}\n"},
	}},
	{"a permit is held while charging", []edit{
		{pool, "p.mu.Lock()\n\tdefer p.mu.Unlock()\n\tif p.full(tenant) {\n\t\treturn Place{}, ErrBusy", "p.mu.Lock()\n\tbusy := p.full(tenant)\n\tp.mu.Unlock()\n\tif busy {\n\t\treturn Place{}, ErrBusy"},
		{pool, "p.taken[tenant]++\n\tp.total++\n", "p.permits <- struct{}{}\n\tp.mu.Lock()\n\tdefer p.mu.Unlock()\n\tp.taken[tenant]++\n\tp.total++\n"},
		{pool, "sync.OnceFunc(func() { p.free(tenant) })", "sync.OnceFunc(func() { p.free(tenant); <-p.permits })"},
		{pool, "select {\n\tcase p.permits <- struct{}{}:\n\tcase <-ctx.Done():\n\t\treturn nil, fmt.Errorf(\"waiting for a hashing permit: %w\", ctx.Err())\n\t}\n\tdefer func() { <-p.permits }()\n",
			"if ctx.Err() != nil {\n\t\treturn nil, fmt.Errorf(\"hashing: %w\", ctx.Err())\n\t}\n"},
	}},
	{"the budget is in Redis alone", []edit{
		{statem, "h.verifier is not null and ` + budget.Allows + `", "h.verifier is not null"},
		{verify, "c, err := v.store.charge(", "if count > int64(v.budget.Attempts) {\n\t\treturn locked(s.At, s.At.Add(v.budget.Lock)), nil\n\t}\n\tc, err := v.store.charge("},
	}},
	one("a lock begins no new window", marks,
		"when fills then n else h.window_start end", "when fills then h.window_start else h.window_start end"),
	one("a lock mirrored in Redis is believed, however old", "pkg/pin/shield.lua",
		"if lock[1] and tonumber(lock[1]) > tonumber(ARGV[1]) then", "if lock[1] then"),
	one("without Redis there is no verdict", "pkg/pin/shield.go",
		"return 0, time.Time{} // in doubt Postgres decides", "return 0, time.Now().Add(time.Minute)"),
	one("the verifier is the one from before the charge", verify, "candidate, c.Verifier)", "candidate, *s.Verifier)"),
	one("settling does not ask which PIN was compared", statem, "where h.holder_id = $1 and h.generation = $3\n\t       and exists", "where h.holder_id = $1 and $3::uuid is not null\n\t       and exists"),
	one("settling does not ask how old the charge is", statem, "and a.charged_at > now() - $4::float8 * interval '1 second'", "and $4::float8 > 0"),
	one("a right PIN forgives later attempts too", marks,
		"forgiven = greatest(h.forgiven, $2), window_start = greatest(h.window_start, $2)", "forgiven = h.charged, window_start = h.charged"),
	one("a right PIN lifts the lock of a later attempt", marks, "locked_until = case when h.locked_by <= $2 then null else h.locked_until end", "locked_until = null"),
	one("the fiftieth failure deactivates nothing", marks, "$5 > 0 and n - h.forgiven >= $5 as ends", "$5 < 0 as ends"),
	one("locks do not double", marks, "2 ^ least(h.locks, 30)", "1"),
	one("a lock keeps the sessions", statem, "case when fills or ends then gen_random_uuid() else h.session_generation end", "h.session_generation"),
	one("a right PIN makes a session although a later attempt locked", verify, "if after.LockedUntil != nil || after.Deactivated {\n\t\treturn result", "if false {\n\t\treturn result"),
	one("a set keeps the sessions", enrol, "session_generation = gen_random_uuid(),\n\t\t       window_start", "window_start"),
	one("the budget goes with the PIN when that is removed", enrol,
		"set verifier = null, generation = null,", "set window_start = h.charged, forgiven = h.charged, locked_until = null, verifier = null, generation = null,"),
	one("an agent's set renews the budget", enrol, "window_start = case when $5 then h.charged else h.window_start end", "window_start = h.charged"),
	one("an agent may set a locked PIN", enrol, "where ($5 or ` + unlocked + `)", "where (true or $5 or ` + unlocked + `)"),
	one("an agent may remove a locked PIN", enrol, "$2 or ` + unlocked + ` as allowed", "true or $2 or ` + unlocked + ` as allowed"),
	one("an unlock activates", enrol, "set locked_until = null, window_start = h.charged\n", "set locked_until = null, window_start = h.charged, forgiven = h.charged, deactivated_by = null\n"),
	one("a session counts at another instance", standing, "x.InstanceID == s.InstanceID && ", ""),
	one("a session counts for another identity", standing, "(!x.IdentityID.Valid || x.IdentityID == s.IdentityID) &&", "true &&"),
	one("a session counts while its PIN is locked", standing, "!s.Deactivated && !s.Locked() &&", "true &&"),
	one("a session outlives a stricter policy", "pkg/session/session.go", "s.IssuedAt.Add(min(s.TTL, ttl))", "s.IssuedAt.Add(s.TTL)"),
	one("a locked PIN opens the gate", standing, "case !s.HasPIN():\n\t\td.Required", "case !s.HasPIN() || s.Locked():\n\t\td.Required"),
	one("a key opens another instance", statem, "case st.InstanceID != who.InstanceID:", "case false:"),
	one("a verifier under an unknown key is charged", verify, "if err := v.hasher.canCheck(*s.Verifier); err != nil {", "if err := v.hasher.canCheck(*s.Verifier); false {"),
	{"a shed request is charged", []edit{
		{verify, "if v.hasher.pool.Full(who.InstanceID) {", "if false {"},
		{verify, "place, err := v.hasher.pool.Reserve(s.InstanceID)\n\tif err != nil {",
			"place, err := v.hasher.pool.Reserve(s.InstanceID)\n\tif err != nil {\n\t\t_, _ = v.store.charge(ctx, s, v.budget)"},
	}},
	one("a flood is shed after its query", verify, "if v.hasher.pool.Full(who.InstanceID) {", "if false {"),
	one("one tenant may take every place", pool, "return p.taken[tenant] >= p.places-p.total", "return p.total >= p.places"),
	one("the wrong proof is one", "pkg/pin/proof.go", "return Authority{}, ErrProofWrong", "return ByAgent, nil"),
	one("a proof is one of every PIN", enrol, "(not $6 or h.generation is not distinct from $8)", "($6 is not null and $8::uuid is not distinct from $8)"),
	one("a proof outlives the customer's PIN that it was of", enrol, "(not $6 or $7 is not distinct from ` + applying + `)", "($6 is not null and $7::uuid is not distinct from $7)"),
	one("a proof is one for removing every PIN", enrol, "not $3 or h.generation is not distinct from $4 as proved", "$3 is not null and $4::uuid is not distinct from $4 as proved"),
}
