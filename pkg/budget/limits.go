package budget

import (
	"errors"
	"fmt"
	"time"
)

// Limits are the size of a budget. A settings struct has one field of this type for each kind of secret, with the tag
// `envconfig:"NAME"`. The environment variables are NAME_ATTEMPTS, NAME_LOCK, NAME_LOCK_MAX and NAME_FAILURES.
type Limits struct {
	// Attempts is the number of comparisons before a lock.
	Attempts int
	// Lock is the length of the first lock. Without a right guess in between, each further lock lasts twice as long, up to
	// LockMax.
	Lock    time.Duration
	LockMax time.Duration `split_words:"true"`
	// Failures is the number of consecutive failures after which every attempt is refused until the secret is set again.
	// 0: no such limit.
	Failures int
}

// Validate returns an error for each limit that is out of range. name is the name of the settings, for example PIN_BUDGET.
// Attempts must be 1 to maxAttempts, Lock at least a second, LockMax at least Lock, and Failures Attempts to maxFailures.
func (l Limits) Validate(name string, maxAttempts, maxFailures int) error {
	var problems []error
	if l.Attempts < 1 || l.Attempts > maxAttempts {
		problems = append(problems, fmt.Errorf("%s_ATTEMPTS must be 1 to %d", name, maxAttempts))
	}
	if l.Lock < time.Second {
		problems = append(problems, fmt.Errorf("%s_LOCK must be at least 1s", name))
	}
	if l.LockMax < l.Lock {
		problems = append(problems, fmt.Errorf("%s_LOCK_MAX must be at least %[1]s_LOCK", name))
	}
	if l.Failures < l.Attempts || l.Failures > maxFailures {
		problems = append(problems, fmt.Errorf("%s_FAILURES must be %[1]s_ATTEMPTS to %d", name, maxFailures))
	}
	return errors.Join(problems...)
}

// Args are the parameters $2 to $5 of a statement that charges.
func (l Limits) Args() []any {
	return []any{l.Attempts, l.Lock.Seconds(), l.LockMax.Seconds(), l.Failures}
}
