package skill

import (
	"strings"

	"github.com/countersign/countersign/pkg/client/action"
)

// Definition is what a registered skill says about actions: what is shown, and which arguments are accepted.
type Definition struct {
	Title, Template *string
	Schema          Schema
}

// Define reads the template and the schema of a skill. It returns an Invalid fault about a field if the skill must not be stored: its
// name has a wildcard, a text has a character that cannot be seen, the template or the schema is not valid, or no arguments that
// match the schema can fill a placeholder.
func (s Skill) Define() (Definition, error) {
	d := Definition{Title: s.Title, Template: s.Summary}
	if strings.Contains(s.Name, "*") {
		return d, invalid("skill", "The name of a skill has no wildcard. Use pin_required_skills of the policy for prefixes")
	}
	for field, text := range map[string]*string{"skill": &s.Name, "title": s.Title, "audience": s.Audience} {
		if text != nil && strings.ContainsFunc(*text, func(r rune) bool { return !isPlain(r) }) {
			return d, invalid(field, "The text has a character that is not visible")
		}
	}
	if s.Arguments != nil {
		var err error
		if d.Schema, err = ParseSchema(*s.Arguments); err != nil {
			return d, err
		}
	}
	if s.Summary == nil {
		return d, nil
	}
	template, err := ParseTemplate(*s.Summary)
	if err != nil {
		return d, err
	}
	for _, p := range template.pieces {
		if p.path != nil && d.Schema.compiled != nil && !d.Schema.outline.fills(d.Schema.outline.root, p.path) {
			return d, invalid("summary", "The schema allows no value for {"+strings.Join(p.path, ".")+"}")
		}
	}
	return d, nil
}

// Canonical returns the canonical form of arguments that match the schema, or an *action.Error.
func (d Definition) Canonical(arguments []byte) (string, error) {
	canonical, err := action.Canonical(arguments)
	if err != nil {
		return "", err
	}
	return canonical, d.Schema.Check(canonical)
}

// Show returns what a person reads about an action of the skill. Arguments are in their canonical form.
func (d Definition) Show(name, arguments string) (Shown, error) {
	return Show(name, d.Title, d.Template, arguments)
}
