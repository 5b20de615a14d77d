package directory

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lib/pq"
)

// constraintErrors maps the name of a constraint to the error that its violation means.
type constraintErrors map[string]error

// mapError translates an error of the database. No row becomes notFound. A violated constraint becomes its error in m, so a
// write needs no check of the constraint beforehand. Every other error is wrapped with the failed step.
func mapError(err error, step string, notFound error, m constraintErrors) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) && notFound != nil {
		return notFound
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
