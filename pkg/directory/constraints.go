package directory

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lib/pq"
)

// constraintErrors maps the name of a constraint to the error that its violation means.
type constraintErrors map[string]error

// mapConstraint returns the error that a violated constraint means. So no query has to check the constraint before a write. It
// wraps every other error with the failed step.
func mapConstraint(err error, step string, m constraintErrors) error {
	if err == nil {
		return nil
	}
	var violation *pq.Error
	if errors.As(err, &violation) && violation.Code.Class() == "23" { // integrity_constraint_violation
		if mapped, ok := m[violation.Constraint]; ok {
			return mapped
		}
	}
	return fmt.Errorf("%s: %w", step, err)
}

// namesOf returns the sorted names of the fields whose value is true.
func namesOf(fields map[string]bool) []string {
	names := slices.Sorted(maps.Keys(fields))
	return slices.DeleteFunc(names, func(name string) bool { return !fields[name] })
}
