package skill

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/countersign/countersign/pkg/client/action"
)

// Schema is the compiled JSON Schema of a skill's arguments. The zero Schema accepts every object.
type Schema struct {
	compiled *jsonschema.Schema
	outline  outline
}

// ParseSchema compiles a JSON Schema of the draft 2020-12, or returns an Invalid fault about the field arguments. The keyword format
// is checked, not only noted. The text of a schema has the limits of arguments: 16 KiB, 32 levels, exact numbers.
func ParseSchema(text string) (Schema, error) {
	if _, err := action.Canonical([]byte(text)); err != nil {
		var refused *action.Error
		if errors.As(err, &refused) {
			return Schema{}, invalidSchema(refused.Path, "the schema's values "+refused.Reason)
		}
		return Schema{}, fmt.Errorf("reading a schema: %w", err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return Schema{}, invalidSchema(nil, "the schema is not valid JSON")
	}
	o, err := newOutline(document)
	if err != nil {
		return Schema{}, err
	}
	const location = "urn:countersign:arguments"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	if err := c.AddResource(location, document); err != nil {
		return Schema{}, fmt.Errorf("adding a schema: %w", err)
	}
	compiled, err := c.Compile(location)
	var violation *jsonschema.SchemaValidationError
	var detail *jsonschema.ValidationError
	switch {
	case errors.As(err, &violation) && errors.As(violation.Err, &detail):
		return Schema{}, invalidSchema(firstError(detail).Path, "this is not valid in the draft 2020-12")
	case err != nil:
		return Schema{}, invalidSchema(nil, "the schema cannot be compiled: a pattern or a reference in it is not valid")
	}
	return Schema{compiled, o}, nil
}

// noLoader refuses to load a schema from elsewhere.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references to other documents are not allowed")
}

func invalidSchema(path []string, text string) error {
	if len(path) == 0 {
		return invalid("arguments", strings.ToUpper(text[:1])+text[1:])
	}
	shown := make([]string, len(path))
	for i, name := range path {
		shown[i] = shortName(name)
	}
	return invalid("arguments", "At "+strings.Join(shown, ".")+": "+text)
}

// Check returns an *action.Error if arguments do not match the schema. The arguments are in their canonical form, so their numbers
// are the numbers that the hash contains. The error has the path of the first value that does not match, in the order of the paths,
// and never a value.
func (s Schema) Check(arguments string) error {
	if s.compiled == nil {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(arguments))
	if err != nil {
		return &action.Error{Reason: "are not valid JSON"}
	}
	err = s.compiled.Validate(value)
	var detail *jsonschema.ValidationError
	if errors.As(err, &detail) {
		return firstError(detail)
	}
	return err
}

// firstError returns the first of the errors that a validation found. The library's own text repeats values.
func firstError(e *jsonschema.ValidationError) *action.Error {
	var all []*action.Error
	for _, e := range firstPlace(e, nil) {
		all = append(all, describe(e)...)
	}
	if len(all) == 0 {
		return &action.Error{Reason: "do not match the schema"}
	}
	return slices.MinFunc(all, func(a, b *action.Error) int {
		return cmp.Or(slices.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason))
	})
}

// firstPlace returns the errors below e, and those in found, whose path is the first. There may be very many errors.
func firstPlace(e *jsonschema.ValidationError, found []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	switch e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, cause := range e.Causes {
			found = firstPlace(cause, found)
		}
		return found
	}
	order := -1
	if len(found) > 0 {
		order = slices.Compare(e.InstanceLocation, found[0].InstanceLocation)
	}
	switch {
	case order < 0:
		return []*jsonschema.ValidationError{e}
	case order == 0:
		return append(found, e)
	}
	return found
}

// describe returns what an error says. The causes of anyOf, oneOf and not are left out, because none of them alone must be corrected.
func describe(e *jsonschema.ValidationError) (all []*action.Error) {
	path := make([]string, len(e.InstanceLocation))
	for i, name := range e.InstanceLocation {
		path[i] = shortName(name)
	}
	add := func(reason string, below ...string) {
		for i, name := range below {
			below[i] = shortName(name)
		}
		all = append(all, &action.Error{Path: slices.Concat(path, below), Reason: reason})
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			add("is missing", name)
		}
	case *kind.DependentRequired:
		for _, name := range k.Missing {
			add("is missing", name)
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			add("is not a property in the schema", name)
		}
	case *kind.PropertyNames:
		add("has a name that the schema does not allow", k.Property)
	case *kind.FalseSchema:
		add("is not allowed by the schema")
	case *kind.Type:
		add("must be of the type " + strings.Join(k.Want, " or "))
	case *kind.Enum, *kind.Const:
		add("is not one of the values that the schema allows")
	case *kind.MinLength:
		add(fmt.Sprintf("must have at least %d characters", k.Want))
	case *kind.MaxLength:
		add(fmt.Sprintf("must have at most %d characters", k.Want))
	case *kind.MinItems:
		add(fmt.Sprintf("must have at least %d elements", k.Want))
	case *kind.MaxItems:
		add(fmt.Sprintf("must have at most %d elements", k.Want))
	case *kind.Minimum, *kind.ExclusiveMinimum:
		add("is less than the schema allows")
	case *kind.Maximum, *kind.ExclusiveMaximum:
		add("is more than the schema allows")
	case *kind.Pattern:
		add("does not match the pattern in the schema")
	case *kind.Format:
		add("does not have the format " + k.Want)
	default:
		add("does not match " + strings.Join(e.ErrorKind.KeywordPath(), "/") + " in the schema")
	}
	return all
}

// maxShownName is how many characters of a name that a caller made up are in an error.
const maxShownName = 60

// shortName returns a name as an error shows it: visible, and not long.
func shortName(name string) string {
	shown, _ := visible(name)
	if runes := []rune(shown); len(runes) > maxShownName {
		return string(runes[:maxShownName]) + "…"
	}
	return shown
}
