// Package approvalview is what a person reads before a decision about an approval, and the hash that identifies it.
package approvalview

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/skill"
)

// View is everything that a person is asked to agree to. All texts can be shown without a further change.
type View struct {
	ID           uuid.UUID
	Grants       approval.Kind
	InstanceName string
	// CustomerName and Requester are nil if the customer or the proxy key has no name.
	CustomerName, Requester *string
	// Audience names the tool server that accepts the receipt. If the skill is registered without an audience, the agent names it. It
	// is nil if no audience is named, and for a session.
	Audience *string
	Shown    skill.Shown
	// Note is what the agent says. It is nil if the agent says nothing.
	Note *string
	// Session is nil if the approval gives a receipt.
	Session *Session
	// ActionHash identifies the action.
	ActionHash string
}

// Session is what an approval of the kind session gives.
type Session struct {
	// Skills are the skills that the session opens: names, and prefixes that end in "*". nil means all protected skills.
	Skills []string
	// Minutes is how long the session lasts.
	Minutes int
}

// New returns the view of an approval. registered are the registered skills of the instance.
func New(a approval.Asked, p policy.Policy, registered []skill.Skill) (View, error) {
	shown, err := skill.Show(a.Skill, a.Title, a.Template, a.Arguments)
	if err != nil {
		return View{}, fmt.Errorf("showing approval %s: %w", a.ID, err)
	}
	v := View{
		ID: a.ID, Grants: a.Kind, InstanceName: skill.Visible(a.InstanceName), CustomerName: visible(a.CustomerName), Requester: visible(a.Requester),
		Shown: shown, Note: visible(a.Note), ActionHash: a.Hash(),
	}
	if a.Kind == approval.Action {
		v.Audience = visible(a.Audience)
	} else {
		v.Session = &Session{opened(p, registered), p.SessionTTLMinutes}
	}
	return v, nil
}

func visible(text *string) *string {
	if text == nil {
		return nil
	}
	shown := skill.Visible(*text)
	return &shown
}

// opened returns the skills that a session opens: the listed ones, and the registered ones that need a session. A registered skill
// that is open or needs an approval is left out. Under every other enforcement than policy.Listed, it returns nil.
func opened(p policy.Policy, registered []skill.Skill) []string {
	if p.Enforcement != policy.Listed {
		return nil
	}
	names, known := []string{}, map[string]bool{} // known are registered and listed names, as names are compared
	for _, s := range registered {
		known[action.Lower(s.Name)] = true
		if s.Mode == skill.Session {
			names = append(names, skill.Visible(s.Name))
		}
	}
	for _, listed := range p.RequiredSkills {
		if name := action.Lower(listed); !known[name] {
			known[name] = true
			names = append(names, skill.Visible(listed))
		}
	}
	return names
}

// Hash identifies everything that the person is asked to agree to, in 64 hexadecimal digits. The time left, the state of the
// approval and of the PIN, and what is shown because the browser is known are not part of it.
func (v View) Hash() (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding a view: %w", err)
	}
	sum := sha256.Sum256(append([]byte("countersign/approval-view/v1\n"), text...))
	return hex.EncodeToString(sum[:]), nil
}
