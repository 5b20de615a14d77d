package approvalview

import (
	"slices"
	"testing"

	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/skill"
)

// TestSkillsThatASessionOpens compares names as everywhere else: only the case of ASCII letters does not matter.
func TestSkillsThatASessionOpens(t *testing.T) {
	t.Parallel()
	registered := []skill.Skill{{Name: "Pay", Mode: skill.Session}, {Name: "k", Mode: skill.Open}, {Name: "big", Mode: skill.Approval}}
	p := policy.Policy{Enforcement: policy.Listed, RequiredSkills: []string{"PAY", "K", "\u212a", "BIG", "mail.*", "Mail.*"}}
	if got, want := opened(p, registered), []string{"Pay", "\u212a", "mail.*"}; !slices.Equal(got, want) { // U+212A is the Kelvin sign
		t.Errorf("got %q, want %q", got, want)
	}
	p.Enforcement = policy.Strict
	if got := opened(p, registered); got != nil {
		t.Errorf("strict: got %q, want nil", got)
	}
}
