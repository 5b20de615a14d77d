// Package skill keeps the registered skills of the instances: what each skill needs before an agent may use it, and what a person
// reads before an approval. The operator writes a skill, never the model.
package skill

import (
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/fault"
)

// ErrNone means that no skill with this name is registered.
var ErrNone = fault.New(fault.NotFound, "skill_not_found", "Skill not found")

// Mode is what a registered skill needs. A value that is not in the list counts as Approval.
type Mode string

// The modes.
const (
	// Unregistered means that no skill with the name is registered: the instance's policy decides.
	Unregistered Mode = ""
	// Open needs nothing.
	Open Mode = "open"
	// Session needs a PIN session.
	Session Mode = "session"
	// Approval needs an approval of each single action.
	Approval Mode = "approval"
)

// Skill is a registered skill.
type Skill struct {
	ID uuid.UUID `db:"id"`
	// Name is in its registered spelling. Names are compared without regard to the case of ASCII letters.
	Name string `db:"skill"`
	Mode Mode   `db:"mode"`
	// Title is the headline that a person reads. If it is nil, the person reads the name.
	Title *string `db:"title"`
	// Summary is a template (ParseTemplate). If it is nil, the person reads the name and all arguments.
	Summary *string `db:"summary"`
	// Arguments is the JSON Schema of the arguments. If it is nil, every object is accepted.
	Arguments *string `db:"arguments"`
	// Audience is the audience of the receipts. If it is nil, the request names it.
	Audience *string `db:"audience"`
	// Version is random, and new after each change.
	Version   uuid.UUID `db:"version"`
	CreatedAt time.Time `db:"created_at"`
	UpdatedAt time.Time `db:"updated_at"`
}

// Registered is what the query of pin.Resolve reads about a skill. Its Mode is Unregistered if no such skill is registered, or if
// the agent named none.
type Registered struct {
	Name     string        `db:"name"`
	Mode     Mode          `db:"mode"`
	Audience *string       `db:"audience"`
	Version  uuid.NullUUID `db:"version"`
}
