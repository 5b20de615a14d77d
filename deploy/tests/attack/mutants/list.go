package main

// mutant is a change of the source that breaks one rule. name describes the broken behaviour.
type mutant struct {
	name  string
	edits []edit
}

// edit replaces a text in a file. The text must occur exactly once.
type edit struct{ file, old, new string }

const (
	verify    = "pkg/pin/verify.go"
	charge    = "pkg/pin/charge.go"
	ask       = "pkg/approval/ask.go"
	limits    = "pkg/approval/limits.go"
	cancel    = "pkg/approval/cancel.go"
	expire    = "pkg/approval/expire.go"
	askTables = "pkg/schema/0036_approvals.sql"
	resolve   = "pkg/pin/resolve.go"
	change    = "pkg/pin/change.go"
	approve   = "pkg/pin/approve.go"
	decision  = "services/pin-admin/internal/decision/decision.go"
	authority = "pkg/pin/authority.go"
	refusals  = "pkg/pin/refusals.go"
	marks     = "pkg/budget/marks.go"
	pool      = "pkg/slowhash/pool.go"
	retention = "pkg/retention/rules.go"
	charger   = "pkg/budget/charger.go"
	outcome   = "pkg/stores/outcome.go"
	refresh   = "services/auth/internal/usersession/refresh.go"
	policies  = "pkg/policy/policy.go"
	show      = "pkg/skill/show.go"
	visible   = "pkg/skill/visible.go"
	compare   = "services/auth/internal/password/compare.go"
	enrolment = "services/pin-admin/internal/enrolment/enrolment.go"
	burn      = "pkg/approval/burn.go"
	use       = "pkg/approval/use.go"

	gateCall  = "services/gate/internal/message/call.go"
	gateParse = "services/gate/internal/message/parse.go"
	gateScan  = "services/gate/internal/message/scan.go"
	gateJudge = "services/gate/internal/gate/gate.go"
	gateLink  = "services/gate/internal/gate/elicitation.go"
	gateState = "services/gate/internal/gate/state.go"
)

func single(name, file, old, new string) mutant { return mutant{name, []edit{{file, old, new}}} }

var mutants = []mutant{
	single("the charge does not check the budget", charge,
		"h.verifier is not null and ` + budget.Allows + `", "h.verifier is not null"),
	single("the charge adds to a count that was read earlier", marks,
		"(select h.charged + 1 as n) as next", "(select (select p.charged from pin_holders p where p.holder_id = $1) + 1 as n) as next"),
	single("an attempt without an outcome is refunded", verify,
		"right, err := v.hasher.matches(ctx, place, a.HolderID, candidate, a.Verifier)\n\tif err != nil {",
		"right, err := v.hasher.matches(ctx, place, a.HolderID, candidate, a.Verifier)\n\tif err != nil {\n\t\tv.db.MustExec(`update pin_holders set charged = charged - 1 where holder_id = $1`, a.HolderID)"),
	single("a client that disconnects cancels the charge", verify, "context.WithoutCancel(ctx)", "ctx"),
	{"a failed verification rolls back the charge", []edit{
		{charge, "func (v *Verifier) charge(ctx context.Context, r", "func (v *Verifier) charge(ctx context.Context, tx *sqlx.Tx, r"},
		{charge, "return statement.Get(ctx, v.db, &a, args...)", "return tx.GetContext(ctx, &a, statement.Query, args...)"},
		{verify, "a, err := v.charge(ctx, r)",
			"tx, err := v.db.BeginTxx(ctx, nil)\n\tif err != nil {\n\t\treturn Result{}, err\n\t}\n\tdefer tx.Rollback()\n\ta, err := v.charge(ctx, tx, r)"},
		{verify, "v.comparisons.Inc()\n", "v.comparisons.Inc()\n\tif right {\n\t\t_ = tx.Commit()\n\t}\n"},
	}},
	{"a hashing permit is held during the charge", []edit{
		{pool, "p.mu.Lock()\n\tdefer p.mu.Unlock()\n\tif p.full(tenant) {\n\t\treturn Place{}, ErrBusy", "p.mu.Lock()\n\tbusy := p.full(tenant)\n\tp.mu.Unlock()\n\tif busy {\n\t\treturn Place{}, ErrBusy"},
		{pool, "p.taken[tenant]++\n\tp.total++\n", "p.permits <- struct{}{}\n\tp.mu.Lock()\n\tdefer p.mu.Unlock()\n\tp.taken[tenant]++\n\tp.total++\n"},
		{pool, "sync.OnceFunc(func() { p.free(tenant) })", "sync.OnceFunc(func() { p.free(tenant); <-p.permits })"},
		{pool, "select {\n\tcase p.permits <- struct{}{}:\n\tcase <-ctx.Done():\n\t\treturn nil, fmt.Errorf(\"waiting for a hashing permit: %w\", ctx.Err())\n\t}\n\tdefer func() { <-p.permits }()\n",
			"if ctx.Err() != nil {\n\t\treturn nil, fmt.Errorf(\"hashing: %w\", ctx.Err())\n\t}\n"},
	}},
	single("a lock starts no new window", marks,
		"when fills then n else h.window_start end", "when fills then h.window_start else h.window_start end"),
	single("a lifted lock is not reported to the replicas that remember it", change, "s.locks.lift(ctx, h.CustomerID, h.ID())", "_ = ctx"),
	single("a right last attempt does not report that its lock was lifted", verify, "v.refusals.locks.lift(ctx, a.HolderID)", "_ = ctx"),
	single("a remembered refusal ignores Redis", refusals, "if !r.stands(ctx, f.locks) {", "if false {"),
	single("a remembered refusal counts without Redis", refusals, "return err == nil && value == lock", "return err != nil || value == lock"),
	single("a remembered refusal does not expire", refusals, "if age >= rememberTime {", "if false {"),
	single("a remembered refusal lasts longer than its lock", refusals, "answer.RetryAfter <= 0 {", "false {"),
	single("a reader of an old lock undoes an unlock in Redis", "pkg/pin/refuse.lua", "== 'open' then", "== 'never' then"),
	single("no refusal is remembered", refusals, "if f.locks.write(ctx, holder, lock) {", "if false {"),
	single("the candidate is compared with a verifier read before the charge", verify, "candidate, a.Verifier)", "candidate, *r.Verifier)"),
	single("settling ignores which PIN was compared", charge, "where h.holder_id = $1 and h.generation = $3\n\t       and exists", "where h.holder_id = $1 and $3::uuid is not null\n\t       and exists"),
	single("settling ignores the age of the charge", charge, "and a.charged_at > now() - $4::float8 * interval '1 second'", "and $4::float8 > 0"),
	single("a right PIN forgives later attempts too", marks,
		"forgiven = greatest(h.forgiven, $2), window_start = greatest(h.window_start, $2)", "forgiven = h.charged, window_start = h.charged"),
	single("a right PIN ends the lock of a later attempt", marks, "locked_until = case when h.locked_by <= $2 then null else h.locked_until end", "locked_until = null"),
	single("the fiftieth failure does not deactivate the PIN", marks, "$5 > 0 and n - h.forgiven >= $5 as ends", "$5 < 0 as ends"),
	single("a lock has no row in the audit trail until the attempt is settled", charge, "from charge where locked_until is not null or deactivated", "from charge where false"),
	single("a replica charges although the last charge was not confirmed", charger, "if c.covered.Load() == c.unknown.Load() {", "if true {"),
	single("a charge whose connection was lost counts as not charged", outcome,
		"if !errors.As(err, &pgErr) {\n\t\treturn false", "if !errors.As(err, &pgErr) {\n\t\treturn true"),
	single("a statement that Postgres ended runs again", "pkg/stores/watched.go", "c.socket.sent.Load() > before {", "c.socket.sent.Load() < before {"),
	single("a commit that the standby did not confirm counts as confirmed", "pkg/stores/watched.go", "c.warned = true", "c.warned = false"),
	single("all charges of a row wait in Postgres", charger, "turn: make(chan struct{}, 1),", "turn: make(chan struct{}, 1000),"),
	single("locks do not double", marks, "2 ^ least(h.locks, 30)", "1"),
	single("a lock does not end the sessions", charge, "case when fills or ends then gen_random_uuid() else h.session_generation end", "h.session_generation"),
	single("a right PIN creates a session although a later attempt locked the PIN", verify, "if after.LockedUntil != nil || after.Deactivated {\n\t\treturn result", "if false {\n\t\treturn result"),
	single("setting a PIN does not end the sessions", change, "session_generation = gen_random_uuid(),\n\t\t       window_start", "window_start"),
	single("removing a PIN renews the budget", change,
		"set verifier = null, generation = null,", "set window_start = h.charged, forgiven = h.charged, locked_until = null, verifier = null, generation = null,"),
	single("setting a PIN as an agent renews the budget", change, "window_start = case when $5 then h.charged else h.window_start end", "window_start = h.charged"),
	single("an agent may set a locked PIN", change, "where ($5 or ` + unlocked + `)", "where (true or $5 or ` + unlocked + `)"),
	single("an agent may set an identity's first PIN instead of a locked PIN", change, "`coalesce((select unlocked from applying), true)`", "`true`"),
	single("setting a PIN does not wait for a charge that locks the PIN", change, " for no key update\n", "\n"),
	single("an agent may remove a locked PIN", change, "$2 or ` + unlocked + ` as allowed", "true or $2 or ` + unlocked + ` as allowed"),
	single("an unlock activates a deactivated PIN", change, "set locked_until = null, window_start = h.charged\n", "set locked_until = null, window_start = h.charged, forgiven = h.charged, deactivated_by = null\n"),
	single("a session is valid at another instance", resolve, "x.InstanceID == r.InstanceID && ", ""),
	single("a session is valid for another identity", resolve, "(!x.IdentityID.Valid || x.IdentityID == r.IdentityID) &&", "true &&"),
	single("a session is valid while its PIN is locked", resolve, "!r.Deactivated && !r.Locked() &&", "true &&"),
	single("a session's MAC is not compared", "pkg/keyring/keyring.go", "if !hmac.Equal(mac, want) {", "if !hmac.Equal(mac, mac) || want == nil {"),
	single("a session's MAC does not cover its key in Redis", "pkg/keyring/keyring.go", "\th.Write([]byte(row))\n", ""),
	single("a revoked session is valid", resolve, "x != nil && !r.SessionRevoked && ", "x != nil && "),
	single("an instance revokes a session of another instance", resolve, "v.session_hash = coalesce($4::bytea, '') and v.instance_id = i.id", "v.session_hash = coalesce($4::bytea, '')"),
	single("a session is revoked only if Redis has it", "pkg/pin/sessions.go", "if x != nil && x.InstanceID != instance {", "if x == nil || x.InstanceID != instance {"),
	single("a holder may have any number of sessions", "pkg/session/create.lua", "if surplus > 0 then", "if false then"),
	single("a session ignores a shorter lifetime in the policy", "pkg/session/session.go", "s.IssuedAt.Add(min(s.TTL, ttl))", "s.IssuedAt.Add(s.TTL)"),
	single("no PIN is required while the PIN is locked", resolve, "HasPIN: r.HasPIN(), Roles", "HasPIN: r.HasPIN() && !r.Locked(), Roles"),
	single("a proxy key is valid at another instance", resolve, "case r.InstanceID != subject.InstanceID:", "case false:"),
	single("an attempt is charged although the key of the pepper is unknown", verify, "if err := v.hasher.canCheck(*r.Verifier); err != nil {", "if err := v.hasher.canCheck(*r.Verifier); false {"),
	{"a shed request is charged", []edit{
		{verify, "if v.hasher.pool.Full(tenant) {", "if false {"},
		{verify, "place, err := v.hasher.pool.Reserve(tenant)\n\tif err != nil {",
			"place, err := v.hasher.pool.Reserve(tenant)\n\tif err != nil {\n\t\t_, _ = v.charge(ctx, r)"},
	}},
	single("an overloaded replica queries Postgres before it refuses", verify, "if v.hasher.pool.Full(tenant) {", "if false {"),
	single("one instance may take every place", pool, "return p.taken[tenant] >= p.places-p.total", "return p.total >= p.places"),
	single("a proof is not checked where the policy demands none", authority, "case !sent && !r.ChangeRequiresProof:", "case (!sent || true) && !r.ChangeRequiresProof:"),
	single("an ended session is a proof", authority, "case r.HasPIN() && !r.Accepts(presented):", "case r.HasPIN() && presented == nil:"),
	single("a wrong proof is accepted", authority, "return proof{}, ErrProofWrong", "return proof{}, nil"),
	single("setting accepts a proof with a PIN that was replaced", change, "(not $6 or h.generation is not distinct from $8)", "($6 is not null and $8::uuid is not distinct from $8)"),
	single("setting accepts a proof with a customer's PIN that was replaced", change, "(not $6 or $7 is not distinct from (select generation from applying))", "($6::boolean is not null and $7::uuid is not distinct from $7)"),
	single("a replaced refresh token is answered again without a limit of time", refresh, "s.refreshed_at > now() - make_interval(secs => $2) as", "$2::float8 > 0 as"),
	single("a login from a known network charges the budget of strangers", compare, `if subject != "" {`, `if subject == "?" {`),
	single("a wrong password in a session charges the budget of strangers", compare,
		"p.compare(ctx, place, p.guesses(budget.PasswordSignedIn), who.ID.String(), who.Email, candidate)", "p.compare(ctx, place, p.guesses(budget.Password), who.Email, who.Email, candidate)"),
	single("removing accepts a proof with a PIN that was replaced", change, "not $3 or h.generation is not distinct from $4 as proved", "$3::boolean is not null and $4::uuid is not distinct from $4 as proved"),
	single("pruning renews a budget after a day", retention, "charged = forgiven and locks = 0 and locked_until is null and deactivated_by is null and charged_at", "charged_at"),
	single("pruning renews a budget that is used up", retention, "charged > forgiven and deactivated_by is null\n", "charged > forgiven\n"),
	single("the charge takes no try of the approval", approve, "update approvals set tries = tries + 1, tried_at = now()", "update approvals set tried_at = now()"),
	single("the charge does not check the tries of the approval", approve, "a.expires_at > now() and a.tries < 2\n\t       for", "a.expires_at > now()\n\t       for"),
	single("a PIN is charged for an approval that was decided", approve, "a.id = $17 and a.status = 'pending' and", "a.id = $17 and"),
	single("a PIN is charged for an approval that has expired", approve, "a.id = $17 and a.status = 'pending' and a.expires_at > now()", "a.id = $17 and a.status = 'pending'"),
	single("an attempt for an approval is charged without a try", approve, "` and exists (select from approval)`", "``"),
	single("a try is taken without a charge", approve, "where id = $17 and exists (select from charge)", "where id = $17"),
	single("the charge does not wait for another try of the approval", approve, "a.tries < 2\n\t       for no key update\n", "a.tries < 2\n"),
	single("a right PIN approves although a later attempt locked the PIN", approve, "if after.LockedUntil == nil && !after.Deactivated {", "if true {"),
	single("a right PIN approves an approval that was decided", approve,
		"where a.id = $1 and a.status = 'pending' and a.expires_at > now()\n\treturning true", "where a.id = $1 and a.expires_at > now()\n\treturning true"),
	single("a right PIN approves an approval that has expired", approve,
		"where a.id = $1 and a.status = 'pending' and a.expires_at > now()\n\treturning true", "where a.id = $1 and a.status = 'pending'\n\treturning true"),
	single("two wrong PINs do not end the link", approve, "status = case when a.wrong + 1 >= 2 then 'denied' else a.status end", "status = a.status"),
	single("two wrong PINs count as a denial by the person", approve, "then 'wrong_pin' else a.reason end", "then 'person' else a.reason end"),
	single("a wrong PIN changes an approval that was decided", approve, "where a.id = $1 and a.status = 'pending' and a.wrong < a.tries", "where a.id = $1 and a.wrong < a.tries"),
	single("a wrong PIN approves", verify, "\tif right {\n\t\tafter", "\tif right || a.approving != nil {\n\t\tafter"),
	{"an approval has the session generation from before the charge", []edit{
		{approve, "UseWithin time.Duration\n}", "UseWithin time.Duration\n\tearly     uuid.UUID\n}"},
		{approve, "state.approving = &approving", "approving.early = state.SessionGeneration.UUID\n\t\tstate.approving = &approving"},
		{approve, "a.HolderID, after.SessionGeneration,", "a.HolderID, a.approving.early,"},
	}},
	single("view_hash is not compared", decision, "if subtle.ConstantTimeCompare([]byte(opened.Hash), []byte(r.ViewHash)) != 1 {", "if subtle.ConstantTimeCompare([]byte(opened.Hash), []byte(r.ViewHash)) > 1 {"),
	single("an unknown browser approves", approve, "case state.KnownBrowserRequired && !state.KnownBrowser && !approving.SignedIn:", "case false:"),
	single("a skill with the mode approval counts as session", policies, "case needsApproval(q.Mode):", "case false:"),
	single("a role exempts from the approval of an action", policies, "case needsApproval(q.Mode):", "case needsApproval(q.Mode) && !exempt:"),
	single("an unknown mode needs no approval", policies, "m != skill.Unregistered && m != skill.Open && m != skill.Session", "m == skill.Approval"),
	single("a person without a PIN may use a skill with the mode session", policies, "case !q.HasPIN && !p.strict() && q.Mode != skill.Session:", "case !q.HasPIN && !p.strict():"),
	single("pin_entry page does not refuse verify", verify, "if err == nil && r.PINEntry != policy.EntryAny {", "if false && r.PINEntry != policy.EntryAny {"),
	single("pin_entry page does not refuse a change", authority, "case r.PINEntry != policy.EntryAny:", "case false && r.PINEntry != policy.EntryAny:"),
	single("a value is read as a template again", show, "value, flags := found.show()\n\t\tparts",
		"value, flags := found.show()\n\t\tif again, err := ParseTemplate(value); err == nil {\n\t\t\tfilled, _ := again.fill(root)\n\t\t\tvalue = Shown{Summary: filled}.Text()\n\t\t}\n\t\tparts"),
	single("a bidi character stays hidden", visible, "return !unicode.IsGraphic(r) || unicode.In(r,", "return unicode.IsControl(r) || unicode.In(r,"),
	single("a browser stays known after the PIN was set again", approve, " and b.generation = h.generation\n", "\n"),
	single("a used enrolment link sets a PIN", enrolment, " and e.used_at is null and ", " and "),
	single("an enrolment link that was replaced sets a PIN", enrolment, "e.token_hash = $1 and e.used", "$1::bytea is not null and e.used"),
	single("an expired enrolment link sets a PIN", enrolment, " and e.expires_at > now()`", "`"),
	single("a use does not check the PIN's session generation", burn, "h.holder_id = a.holder_id and h.session_generation = a.session_generation\n", "h.holder_id = a.holder_id\n"),
	single("a use does not compare the arguments", burn, "($4::text is null or a.arguments = $4)", "($4::text is null or true)"),
	single("a use does not check the time", burn, " and moment.at < a.expires_at", ""),
	single("a use does not check that the person approved", burn, "a.status = 'approved' and moment", "moment"),
	single("a use does not check that the PIN is not locked", burn, " and (h.locked_until is null or h.locked_until <= moment.at)", ""),
	single("a use does not check that the PIN still applies", burn, " and moment.replaced is not true", ""),
	single("a use that waited does not see the first PIN of an identity", burn, "holds_pin(a.identity_id) as replaced",
		"exists (select from pin_holders h where h.holder_id = a.identity_id and h.verifier is not null) as replaced"),
	single("a use does not lock the PIN", burn, "order by h.identity_id nulls first\n\t       for share", "order by h.identity_id nulls first"),
	single("a use reads the time before it waits", burn, "select clock_timestamp() as at", "select now() as at"),
	single("a use does not check that the person is still within the instance", burn, "and ` + within + `\n", "\n"),
	single("a use accepts a proxy key of another instance", burn, "k.key_hash = $1 and k.instance_id = $2 and", "k.key_hash = $1 and $2::uuid is not null and"),
	single("another use_id gets the receipt again", use, "subtle.ConstantTimeCompare(row.UseHash, useHash) == 0:", "subtle.ConstantTimeCompare(row.UseHash, useHash) == 2:"),
	single("a repeated use ignores other arguments", use, "case !row.SameArguments:", "case false:"),
	single("a repeated use makes a revoked session again", use, "case revoked:", "case false:"),
	single("a repeated use makes an expired session again", use, "!alive || !earlier.At.Before(earlier.sessionEnd())", "!alive"),
	single("a repeated use makes a session again after the PIN was changed", use, "if !alive || ", "if "),
	single("storing a session again ends another session", "pkg/session/create.lua", "redis.call('ZREM', KEYS[2], KEYS[1])", ""),
	single("a key of receipts is sealed like a key of access tokens", "pkg/signing/kind.go", "Purpose: keyring.ReceiptKeys", "Purpose: keyring.SigningKeys"),
	single("an ask does not check the limit of pending approvals", limits, "greatest(v.denied, v.skill_denied, v.per_hour, v.pending, 0) = 0", "greatest(v.denied, v.skill_denied, v.per_hour, 0) = 0"),
	single("an ask does not check the limit of an hour", limits, "greatest(v.denied, v.skill_denied, v.per_hour, v.pending, 0) = 0", "greatest(v.denied, v.skill_denied, v.pending, 0) = 0"),
	single("a denied action can be asked for again", limits, "greatest(v.denied, v.skill_denied, v.per_hour, v.pending, 0) = 0", "greatest(v.skill_denied, v.per_hour, v.pending, 0) = 0"),
	single("a denied skill can be asked for again", limits, "greatest(v.denied, v.skill_denied, v.per_hour, v.pending, 0) = 0", "greatest(v.denied, v.per_hour, v.pending, 0) = 0"),
	single("two wrong PINs refuse the next ask", limits, "where a.status = 'denied' and a.reason = 'person'", "where a.status = 'denied'"),
	single("a request of another identity gets the same approval", limits, " and l.identity_id is not distinct from $4) as same", " and $4::uuid is not distinct from $4) as same"),
	single("a request for a session gets the approval of an action", limits, "l.action_hash = $10 and l.kind = $6 and", "l.action_hash = $10 and"),
	single("an approval that is over counts as pending", limits, "where a.status = 'pending' and not (` + timeOver + ` or ` + triesLost + `)\n\t), denied", "where a.status = 'pending'\n\t), denied"),
	single("parallel asks do not wait for each other", askTables, "    perform pg_advisory_xact_lock(hashtextextended('approvals of ' || customer || ' at ' || instance, 0));\n", ""),
	single("a locked PIN is asked for an approval", ask, "case r.Locked():", "case false:"),
	single("another audience than the registered one is accepted", ask, "*r.Audience != *registered.Audience", "false"),
	single("a cancelled approval can be approved or used", cancel, "set status = 'cancelled' where id = $1", "set status = a.status from approvals a where approvals.id = $1 and a.id = $1"),
	single("an approved approval of a changed PIN is not expired", expire, "(` + timeOver + ` or ` + pinChanged + ` or ` + triesLost + `)", "(` + timeOver + ` or ` + triesLost + `)"),
	single("the gate reads a name that occurs twice", gateScan, "if string(other.name) == name {", "if string(other.name) == name+name {"),
	single("the gate ignores names in another case", gateScan, "if name != right && same(name, right) {", "if false {"),
	single("the gate passes carriage returns", gateParse, "bytes.IndexByte(raw, '\\r') >= 0", "bytes.IndexByte(raw, '\\r') > len(raw)"),
	single("the gate reads names that end at U+0000", gateScan, "r == 0 ||", "r < 0 ||"),
	single("the receipt of a client reaches the server of an approved call", gateCall, "case Receipt:\n", "case \"\":\n"),
	single("an error of Countersign opens a call", gateJudge, "case err != nil:\n\t\treturn g.refuse(r, decision, err)", "case err != nil:\n\t\treturn g.pass(r, decision)"),
	single("an approved call runs with the arguments of the client", gateJudge, "r.call.Forward(approved.arguments,", "r.call.Forward(\"\","),
	single("a call runs although its client cancelled it", gateJudge, "case ctx.Err() != nil:", "case false:"),
	single("the accept of a client opens a call", gateLink, "if action == \"accept\" {\n\t\t\t\tcontinue", "if action == \"accept\" {\n\t\t\t\treturn hold.Decision{Run: true}, nil"),
	single("a client answers the elicitation of another person", gateLink, "found && e.person == from.Person", "found"),
	single("a requestState opens another call", gateState, "s.Call != r.identity()", "false"),
	single("a requestState opens the call of another person", gateState, "r.from.Person.Customer, r.from.Person.Identity, ", ""),
	single("the inputs for a server run an approved call twice", "services/gate/internal/gate/execution.go", "delete(e.values, id)\n\treturn", "return"),
}
