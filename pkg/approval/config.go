package approval

import (
	"errors"
	"fmt"
	"time"
)

// Config has the limits against many requests that make a person approve by mistake. Each counts the approvals of one customer at
// one instance.
type Config struct {
	// Pending is how many approvals may wait for an answer: 1 to 100.
	Pending int `envconfig:"APPROVAL_PENDING"`
	// PerHour is how many approvals may be asked for in an hour: 1 to 1000.
	PerHour int `envconfig:"APPROVAL_PER_HOUR"`
	// DeniedFor is how long an action is refused after the person denied it: 0 (never refused) to 6h.
	DeniedFor time.Duration `envconfig:"APPROVAL_DENIED_FOR"`
	// SkillDenials is how many denials of a skill, within SkillDeniedFor, make the skill refused: 1 to 100.
	SkillDenials int `envconfig:"APPROVAL_SKILL_DENIALS"`
	// SkillDeniedFor is how long the skill is then refused, from the last of these denials: 0 (never refused) to 6h.
	SkillDeniedFor time.Duration `envconfig:"APPROVAL_SKILL_DENIED_FOR"`
}

// DefaultConfig is the Config of a deployment that sets no other.
var DefaultConfig = Config{Pending: 3, PerHour: 30, DeniedFor: 15 * time.Minute, SkillDenials: 2, SkillDeniedFor: time.Hour}

// Validate names every setting that is wrong.
func (c Config) Validate() error {
	return errors.Join(number("APPROVAL_PENDING", c.Pending, 100), number("APPROVAL_PER_HOUR", c.PerHour, 1000),
		duration("APPROVAL_DENIED_FOR", c.DeniedFor, 0, 6*time.Hour), number("APPROVAL_SKILL_DENIALS", c.SkillDenials, 100),
		duration("APPROVAL_SKILL_DENIED_FOR", c.SkillDeniedFor, 0, 6*time.Hour))
}

func number(setting string, n, most int) error {
	if n < 1 || n > most {
		return fmt.Errorf("%s must be 1 to %d", setting, most)
	}
	return nil
}

func duration(setting string, d, least, most time.Duration) error {
	if d < least || d > most {
		return fmt.Errorf("%s must be %s to %s", setting, least, most)
	}
	return nil
}

// maxTime is the longest time for an answer.
const maxTime = time.Hour

// window is how far back the limits look. An approval can be denied until maxTime after it was asked for, and the denials that
// make a skill refused may be SkillDeniedFor apart.
func (c Config) window() time.Duration {
	return maxTime + max(time.Hour, c.DeniedFor, 2*c.SkillDeniedFor)
}
