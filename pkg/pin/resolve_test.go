package pin

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/session"
)

func TestCheckRequired(t *testing.T) {
	t.Parallel()
	skill := "pay.transfer"
	lock := func(r *Resolved) { later := r.At.Add(time.Hour); r.LockedUntil = &later }
	deactivate := func(r *Resolved) { r.Deactivated = true }
	for _, rule := range []struct {
		name     string
		change   func(*Resolved)
		skill    *string
		session  bool
		required bool
		reason   policy.Reason
	}{
		{name: "a PIN is set", required: true, reason: policy.PINNeeded},
		{name: "no PIN is set", change: func(r *Resolved) { r.Verifier = nil }, reason: policy.NoActivePIN},
		{name: "no PIN is set, strict", change: func(r *Resolved) { r.Verifier, r.Enforcement = nil, policy.Strict }, required: true, reason: policy.NoActivePIN},
		{name: "the skill is not in the list, strict", skill: &skill, change: func(r *Resolved) { r.Enforcement = policy.Strict }, required: true, reason: policy.PINNeeded},
		{name: "a locked PIN is needed", change: lock, required: true, reason: policy.PINNeeded},
		{name: "a deactivated PIN is needed", change: deactivate, required: true, reason: policy.PINNeeded},
		{name: "a session", session: true, reason: policy.SessionActive},
		{name: "a session while locked", session: true, change: lock, required: true, reason: policy.PINNeeded},
		{name: "the role is exempt", change: func(r *Resolved) { r.AppliesTo = "owner" }, reason: policy.RoleExempt},
		{name: "one of the roles is not exempt", change: func(r *Resolved) { r.AppliesTo, r.Roles = "owner", pq.StringArray{"customer", "owner"} },
			required: true, reason: policy.PINNeeded},
		{name: "the skill is not protected", skill: &skill, reason: policy.SkillNotProtected},
		{name: "the skill is protected", skill: &skill, change: func(r *Resolved) { r.RequiredSkills = []string{"pay.*"} }, required: true, reason: policy.PINNeeded},
	} {
		t.Run(rule.name, func(t *testing.T) {
			r, x := resolvedWithSession()
			if rule.change != nil {
				rule.change(&r)
			}
			if !rule.session {
				x = nil
			}
			d := r.CheckRequired(rule.skill, x)
			if d.Required != rule.required || d.Reason != rule.reason {
				t.Errorf("required %v because %s, want %v because %s", d.Required, d.Reason, rule.required, rule.reason)
			}
		})
	}
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	other := uuid.New()
	for _, rule := range []struct {
		name   string
		change func(*Resolved, *session.Session)
		want   bool
	}{
		{"the unchanged session", func(*Resolved, *session.Session) {}, true},
		{"of another instance", func(_ *Resolved, x *session.Session) { x.InstanceID = other }, false},
		{"of another customer", func(_ *Resolved, x *session.Session) { x.CustomerID = other }, false},
		{"of another identity", func(_ *Resolved, x *session.Session) { x.IdentityID = uuid.NullUUID{UUID: other, Valid: true} }, false},
		{"without an identity, for an identity", func(_ *Resolved, x *session.Session) { x.IdentityID = uuid.NullUUID{} }, true},
		{"of an identity, for the customer", func(r *Resolved, _ *session.Session) { r.IdentityID = uuid.NullUUID{} }, false},
		{"based on another PIN than the one that applies", func(r *Resolved, _ *session.Session) { r.HolderID.UUID = other }, false},
		{"of an older session generation", func(r *Resolved, _ *session.Session) { r.SessionGeneration.UUID = other }, false},
		{"based on a removed PIN", func(r *Resolved, _ *session.Session) { r.Verifier = nil }, false},
		{"based on a deactivated PIN", func(r *Resolved, _ *session.Session) { r.Deactivated = true }, false},
		{"based on a locked PIN", func(r *Resolved, _ *session.Session) { later := r.At.Add(time.Hour); r.LockedUntil = &later }, false},
		{"one second before its end", func(r *Resolved, x *session.Session) { x.IssuedAt = r.At.Add(-30*time.Minute + time.Second) }, true},
		{"at its end", func(r *Resolved, x *session.Session) { x.IssuedAt = r.At.Add(-30 * time.Minute) }, false},
		{"older than a stricter policy allows", func(r *Resolved, x *session.Session) {
			r.SessionTTLMinutes, x.IssuedAt = 5, r.At.Add(-6*time.Minute)
		}, false},
		{"not extended by a less strict policy", func(r *Resolved, x *session.Session) {
			r.SessionTTLMinutes, x.IssuedAt = 60, r.At.Add(-31*time.Minute)
		}, false},
	} {
		t.Run(rule.name, func(t *testing.T) {
			r, x := resolvedWithSession()
			rule.change(&r, x)
			if got := r.Accepts(x); got != rule.want {
				t.Errorf("accepted: %v, want %v", got, rule.want)
			}
		})
	}
}

// resolvedWithSession returns an identity to which the customer's PIN applies, and a session that is based on that PIN.
func resolvedWithSession() (Resolved, *session.Session) {
	verifier := "some"
	r := Resolved{
		At: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC), InstanceID: uuid.New(), Roles: pq.StringArray{"customer"},
		CustomerID: uuid.NullUUID{UUID: uuid.New(), Valid: true}, IdentityID: uuid.NullUUID{UUID: uuid.New(), Valid: true},
		SessionGeneration: uuid.NullUUID{UUID: uuid.New(), Valid: true}, Verifier: &verifier,
		Policy: policy.Policy{AppliesTo: "all", Enforcement: policy.Listed, SessionTTLMinutes: 30},
	}
	r.HolderID = r.CustomerID
	return r, &session.Session{
		InstanceID: r.InstanceID, CustomerID: r.CustomerID.UUID, IdentityID: r.IdentityID, HolderID: r.HolderID.UUID,
		Generation: r.SessionGeneration.UUID, IssuedAt: r.At.Add(-time.Minute), TTL: 30 * time.Minute,
	}
}
