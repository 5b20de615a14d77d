package policy

import (
	"testing"

	"github.com/countersign/countersign/pkg/skill"
)

// TestDecideMatrix has one row for each situation. The session of a person without a PIN is never valid, but must not matter.
func TestDecideMatrix(t *testing.T) {
	t.Parallel()
	const hasPIN, noPIN, exempt, notExempt = true, false, true, false
	const none, inList, other = "", "pay.transfer", "mail.send"
	for _, row := range []struct {
		enforcement      string
		hasPIN, isExempt bool
		skill            string
		// The reason without and with a valid session.
		want, withSession Reason
	}{
		{Listed, hasPIN, notExempt, none, PINNeeded, SessionActive},
		{Listed, hasPIN, notExempt, inList, PINNeeded, SessionActive},
		{Listed, hasPIN, notExempt, other, SkillNotProtected, SkillNotProtected},
		{Listed, hasPIN, exempt, none, RoleExempt, RoleExempt},
		{Listed, hasPIN, exempt, inList, RoleExempt, RoleExempt},
		{Listed, hasPIN, exempt, other, RoleExempt, RoleExempt},
		{Listed, noPIN, notExempt, none, NoActivePIN, NoActivePIN},
		{Listed, noPIN, notExempt, inList, NoActivePIN, NoActivePIN},
		{Listed, noPIN, notExempt, other, NoActivePIN, NoActivePIN},
		{Listed, noPIN, exempt, none, NoActivePIN, NoActivePIN},
		{Listed, noPIN, exempt, inList, NoActivePIN, NoActivePIN},
		{Listed, noPIN, exempt, other, NoActivePIN, NoActivePIN},
		{Strict, hasPIN, notExempt, none, PINNeeded, SessionActive},
		{Strict, hasPIN, notExempt, inList, PINNeeded, SessionActive},
		{Strict, hasPIN, notExempt, other, PINNeeded, SessionActive},
		{Strict, hasPIN, exempt, none, RoleExempt, RoleExempt},
		{Strict, hasPIN, exempt, inList, RoleExempt, RoleExempt},
		{Strict, hasPIN, exempt, other, RoleExempt, RoleExempt},
		{Strict, noPIN, notExempt, none, NoActivePIN, NoActivePIN},
		{Strict, noPIN, notExempt, inList, NoActivePIN, NoActivePIN},
		{Strict, noPIN, notExempt, other, NoActivePIN, NoActivePIN},
		{Strict, noPIN, exempt, none, RoleExempt, RoleExempt},
		{Strict, noPIN, exempt, inList, RoleExempt, RoleExempt},
		{Strict, noPIN, exempt, other, RoleExempt, RoleExempt},
	} {
		for session, want := range map[bool]Reason{false: row.want, true: row.withSession} {
			p := Policy{Enforcement: row.enforcement, AppliesTo: "all", RequiredSkills: []string{"pay.*"}}
			q := Question{HasPIN: row.hasPIN, Roles: []string{"customer"}, SessionActive: session}
			if row.isExempt {
				p.AppliesTo = "owner"
			}
			if row.skill != none {
				q.Skill = &row.skill
			}
			// A person without a PIN is refused under Strict only.
			required := want == PINNeeded || want == NoActivePIN && row.enforcement == Strict
			d := p.Decide(q)
			if d.Required != required || d.Reason != want || d.Role != "customer" {
				t.Errorf("%+v, session %v: got %v, %s, %s; want %v, %s", row, session, d.Required, d.Reason, d.Role, required, want)
			}
			if protected := row.enforcement == Strict || row.skill == inList; (d.SkillProtected == nil) != (row.skill == none) || d.SkillProtected != nil && *d.SkillProtected != protected {
				t.Errorf("%+v: skill_protected is %v, want %v", row, d.SkillProtected, protected)
			}
		}
	}
}

// TestRegisteredSkillMatrix has one row for each situation of a registered skill. Whether the skill is in the list must not matter.
func TestRegisteredSkillMatrix(t *testing.T) {
	t.Parallel()
	const hasPIN, noPIN, exempt, notExempt, required = true, false, true, false, true
	type answer struct {
		reason   Reason
		required bool
	}
	open, none, role := answer{SkillNotProtected, false}, answer{NoActivePIN, false}, answer{RoleExempt, false}
	needed, live, refused := answer{PINNeeded, required}, answer{SessionActive, false}, answer{NoActivePIN, required}
	approval := answer{ApprovalNeeded, required}
	for _, row := range []struct {
		mode             skill.Mode
		hasPIN, isExempt bool
		// Under both enforcements, with and without a valid session.
		listed, listedWithSession, strict, strictWithSession answer
	}{
		{skill.Open, hasPIN, notExempt, open, open, open, open},
		{skill.Open, hasPIN, exempt, role, role, role, role},
		{skill.Open, noPIN, notExempt, none, none, open, open},
		{skill.Open, noPIN, exempt, none, none, role, role},
		{skill.Session, hasPIN, notExempt, needed, live, needed, live},
		{skill.Session, hasPIN, exempt, role, role, role, role},
		{skill.Session, noPIN, notExempt, refused, refused, refused, refused},
		{skill.Session, noPIN, exempt, role, role, role, role},
		{skill.Approval, hasPIN, notExempt, approval, approval, approval, approval},
		{skill.Approval, hasPIN, exempt, approval, approval, approval, approval},
		{skill.Approval, noPIN, notExempt, approval, approval, approval, approval},
		{skill.Approval, noPIN, exempt, approval, approval, approval, approval},
		{"of a later release", hasPIN, exempt, approval, approval, approval, approval},
		{"of a later release", noPIN, notExempt, approval, approval, approval, approval},
	} {
		for _, name := range []string{"pay.transfer", "mail.send"} {
			for _, situation := range []struct {
				enforcement string
				session     bool
				want        answer
			}{{Listed, false, row.listed}, {Listed, true, row.listedWithSession}, {Strict, false, row.strict}, {Strict, true, row.strictWithSession}} {
				p := Policy{Enforcement: situation.enforcement, AppliesTo: "all", RequiredSkills: []string{"pay.*"}}
				if row.isExempt {
					p.AppliesTo = "owner"
				}
				d := p.Decide(Question{HasPIN: row.hasPIN, Roles: []string{"customer"}, Skill: &name, Mode: row.mode, SessionActive: situation.session})
				if got := (answer{d.Reason, d.Required}); got != situation.want {
					t.Errorf("%q, mode %q, PIN %v, exempt %v, %s, session %v: got %v, want %v",
						name, row.mode, row.hasPIN, row.isExempt, situation.enforcement, situation.session, got, situation.want)
				}
				if d.SkillProtected == nil || *d.SkillProtected != (row.mode != skill.Open) {
					t.Errorf("%q, mode %q, %s: skill_protected is wrong", name, row.mode, situation.enforcement)
				}
			}
		}
	}
}

func TestStrictestRoleDecides(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		appliesTo string
		roles     []string
		role      string
		required  bool
	}{
		{"all", []string{"customer"}, "customer", true},
		{"owner", []string{"customer"}, "customer", false},
		{"owner", []string{"customer", "owner"}, "owner", true},
		{"customer", []string{"customer", "owner"}, "customer", true},
		{"customer", []string{"owner"}, "owner", false},
	} {
		for _, enforcement := range []string{Listed, Strict} {
			d := Policy{AppliesTo: rule.appliesTo, Enforcement: enforcement}.Decide(Question{HasPIN: true, Roles: rule.roles})
			if d.Role != rule.role || d.Required != rule.required {
				t.Errorf("%s, %+v: got %s, %v", enforcement, rule, d.Role, d.Required)
			}
		}
	}
}

func TestListedSkills(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name  string
		list  []string
		skill string
		want  bool
	}{
		{"an empty list", nil, "pay.transfer", false},
		{"in the list", []string{"mail", "pay.transfer"}, "pay.transfer", true},
		{"a prefix is in the list", []string{"pay.*"}, "pay.transfer", true},
		{"the prefix itself", []string{"pay.*"}, "pay.", true},
		{"shorter than the prefix", []string{"pay.*"}, "pay", false},
		{"the skill is a prefix of a name in the list", []string{"pay.transfer.all"}, "pay.transfer", false},
		{"a star protects all skills", []string{"*"}, "pay.transfer", true},
		{"upper case in the skill", []string{"payments.*"}, "Payments.transfer", true},
		{"upper case in the list", []string{"PAY.*"}, "pay.transfer", true},
		{"upper case in a name without a star", []string{"Delete_Account"}, "dELETE_aCCOUNT", true},
		{"the same name twice", []string{"Pay.*", "pay.*"}, "PAY.transfer", true},
		{"only ASCII letters have two cases: the Kelvin sign is not K", []string{"kyc"}, "\u212Ayc", false},
		{"other letters have one case", []string{"über*"}, "Überweisung", false},
		{"other letters in the same case", []string{"über*"}, "überWEISUNG", true},
	} {
		p := Policy{Enforcement: Listed, RequiredSkills: rule.list}
		if got := p.protects(rule.skill, skill.Unregistered); got != rule.want {
			t.Errorf("%s: %v, want %v", rule.name, got, rule.want)
		}
	}
}
