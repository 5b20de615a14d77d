package pin

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/session"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	pay := "pay.transfer"
	for _, rule := range []struct {
		name     string
		change   func(*Standing)
		skill    *string
		session  bool
		required bool
		reason   Reason
	}{
		{name: "a PIN is set", required: true, reason: PINNeeded},
		{name: "no PIN is set", change: func(s *Standing) { s.Verifier = nil }, reason: NoActivePIN},
		{name: "locked is needed, not absent", change: func(s *Standing) { later := s.At.Add(time.Hour); s.LockedUntil = &later }, required: true, reason: PINNeeded},
		{name: "deactivated is needed, not absent", change: func(s *Standing) { s.Deactivated = true }, required: true, reason: PINNeeded},
		{name: "a session", session: true, reason: SessionActive},
		{name: "a session while locked", session: true, change: func(s *Standing) { later := s.At.Add(time.Hour); s.LockedUntil = &later }, required: true, reason: PINNeeded},
		{name: "policy for owners, asked by a customer", change: func(s *Standing) { s.AppliesTo = "owner" }, reason: RoleExempt},
		{name: "policy for owners, one of several roles", change: func(s *Standing) { s.AppliesTo, s.Roles = "owner", pq.StringArray{"customer", "owner"} }, required: true, reason: PINNeeded},
		{name: "policy for customers", change: func(s *Standing) { s.AppliesTo = "customer" }, required: true, reason: PINNeeded},
		{name: "an empty list protects no skill", skill: &pay, reason: SkillNotProtected},
		{name: "the skill is named", skill: &pay, change: skills("mail", "pay.transfer"), required: true, reason: PINNeeded},
		{name: "the skill has the prefix", skill: &pay, change: skills("pay.*"), required: true, reason: PINNeeded},
		{name: "the skill is a prefix of a name", skill: &pay, change: skills("pay.transfer.all"), reason: SkillNotProtected},
		{name: "a star protects all", skill: &pay, change: skills("*"), required: true, reason: PINNeeded},
		{name: "case matters", skill: &pay, change: skills("PAY.*"), reason: SkillNotProtected},
	} {
		t.Run(rule.name, func(t *testing.T) {
			s, x := standing()
			if rule.change != nil {
				rule.change(&s)
			}
			if !rule.session {
				x = nil
			}
			d := s.Decide(rule.skill, x)
			if d.Required != rule.required || d.Reason != rule.reason {
				t.Errorf("required %v because %s, want %v because %s", d.Required, d.Reason, rule.required, rule.reason)
			}
		})
	}
}

func skills(patterns ...string) func(*Standing) {
	return func(s *Standing) { s.RequiredSkills = patterns }
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	other := uuid.New()
	for _, rule := range []struct {
		name   string
		change func(*Standing, *session.Session)
		want   bool
	}{
		{"as it was made", func(*Standing, *session.Session) {}, true},
		{"of another instance", func(_ *Standing, x *session.Session) { x.InstanceID = other }, false},
		{"of another customer", func(_ *Standing, x *session.Session) { x.CustomerID = other }, false},
		{"of another identity", func(_ *Standing, x *session.Session) { x.IdentityID = uuid.NullUUID{UUID: other, Valid: true} }, false},
		{"of no identity, asked for one", func(_ *Standing, x *session.Session) { x.IdentityID = uuid.NullUUID{} }, true},
		{"of an identity, asked for none", func(s *Standing, _ *session.Session) { s.IdentityID = uuid.NullUUID{} }, false},
		{"on another PIN than applies now", func(s *Standing, _ *session.Session) { s.HolderID.UUID = other }, false},
		{"of an older generation", func(s *Standing, _ *session.Session) { s.SessionGeneration.UUID = other }, false},
		{"on a PIN that was removed", func(s *Standing, _ *session.Session) { s.Verifier = nil }, false},
		{"on a deactivated PIN", func(s *Standing, _ *session.Session) { s.Deactivated = true }, false},
		{"a second before its end", func(s *Standing, x *session.Session) { x.IssuedAt = s.At.Add(-30*time.Minute + time.Second) }, true},
		{"at its end", func(s *Standing, x *session.Session) { x.IssuedAt = s.At.Add(-30 * time.Minute) }, false},
		{"older than a policy made stricter", func(s *Standing, x *session.Session) {
			s.SessionTTLMinutes, x.IssuedAt = 5, s.At.Add(-6*time.Minute)
		}, false},
		{"not prolonged by a policy made laxer", func(s *Standing, x *session.Session) {
			s.SessionTTLMinutes, x.IssuedAt = 60, s.At.Add(-31*time.Minute)
		}, false},
	} {
		t.Run(rule.name, func(t *testing.T) {
			s, x := standing()
			rule.change(&s, x)
			if got := s.Accepts(x); got != rule.want {
				t.Errorf("accepted: %v, want %v", got, rule.want)
			}
		})
	}
}

// standing is an identity with a customer's PIN, and a session that rests on it.
func standing() (Standing, *session.Session) {
	verifier := "some"
	s := Standing{
		At: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC), InstanceID: uuid.New(), Roles: pq.StringArray{"customer"},
		CustomerID: uuid.NullUUID{UUID: uuid.New(), Valid: true}, IdentityID: uuid.NullUUID{UUID: uuid.New(), Valid: true},
		SessionGeneration: uuid.NullUUID{UUID: uuid.New(), Valid: true}, Verifier: &verifier,
		Policy: Policy{AppliesTo: "all", SessionTTLMinutes: 30},
	}
	s.HolderID = s.CustomerID
	return s, &session.Session{
		InstanceID: s.InstanceID, CustomerID: s.CustomerID.UUID, IdentityID: s.IdentityID, HolderID: s.HolderID.UUID,
		Generation: s.SessionGeneration.UUID, IssuedAt: s.At.Add(-time.Minute), TTL: 30 * time.Minute,
	}
}
