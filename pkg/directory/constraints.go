package directory

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lib/pq"
)

// meanings are the failures that a violation of a constraint stands for, by the constraint's name.
type meanings map[string]error

// because says what a violated constraint means, so that nothing has to be looked up before it is written; every other
// error it wraps with the failed step.
func because(err error, step string, m meanings) error {
	if err == nil {
		return nil
	}
	var violation *pq.Error
	if errors.As(err, &violation) && violation.Code.Class() == "23" { // integrity_constraint_violation
		if meaning, ok := m[violation.Constraint]; ok {
			return meaning
		}
	}
	return fmt.Errorf("%s: %w", step, err)
}

// given are the names of the fields that a change sets, for the audit trail.
func given(fields map[string]bool) []string {
	names := slices.Sorted(maps.Keys(fields))
	return slices.DeleteFunc(names, func(name string) bool { return !fields[name] })
}
