package policy

import "testing"

func TestDecide(t *testing.T) {
	t.Parallel()
	transfer := "pay.transfer"
	for _, rule := range []struct {
		name     string
		policy   Policy
		question Question
		required bool
		reason   Reason
		role     string
	}{
		{"a PIN is set", Policy{}, Question{}, true, PINNeeded, "customer"},
		{"a session is active", Policy{}, Question{SessionActive: true}, false, SessionActive, "customer"},
		{"policy for owners, a customer asks", Policy{AppliesTo: "owner"}, Question{}, false, RoleExempt, "customer"},
		{"policy for owners, one of several roles", Policy{AppliesTo: "owner"}, Question{Roles: []string{"customer", "owner"}}, true, PINNeeded, "owner"},
		{"policy for customers", Policy{AppliesTo: "customer"}, Question{}, true, PINNeeded, "customer"},
		{"an empty list protects no skill", Policy{}, Question{Skill: &transfer}, false, SkillNotProtected, "customer"},
		{"the skill is in the list", Policy{RequiredSkills: []string{"mail", "pay.transfer"}}, Question{Skill: &transfer}, true, PINNeeded, "customer"},
		{"the skill has a prefix in the list", Policy{RequiredSkills: []string{"pay.*"}}, Question{Skill: &transfer}, true, PINNeeded, "customer"},
		{"the skill is a prefix of a name in the list", Policy{RequiredSkills: []string{"pay.transfer.all"}}, Question{Skill: &transfer}, false, SkillNotProtected, "customer"},
		{"a star protects all skills", Policy{RequiredSkills: []string{"*"}}, Question{Skill: &transfer}, true, PINNeeded, "customer"},
		{"the case of letters matters", Policy{RequiredSkills: []string{"PAY.*"}}, Question{Skill: &transfer}, false, SkillNotProtected, "customer"},
	} {
		t.Run(rule.name, func(t *testing.T) {
			if rule.policy.AppliesTo == "" {
				rule.policy.AppliesTo = "all"
			}
			if rule.question.Roles == nil {
				rule.question.Roles = []string{"customer"}
			}
			rule.question.HasPIN = true
			d := rule.policy.Decide(rule.question)
			if d.Required != rule.required || d.Reason != rule.reason || d.Role != rule.role {
				t.Errorf("got %v, %s, %s; want %v, %s, %s", d.Required, d.Reason, d.Role, rule.required, rule.reason, rule.role)
			}
			rule.question.HasPIN = false
			if d := rule.policy.Decide(rule.question); d.Required || d.Reason != NoActivePIN {
				t.Errorf("without a PIN: %v, %s", d.Required, d.Reason)
			}
		})
	}
}
