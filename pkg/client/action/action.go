// Package action gives one call of a skill a canonical form and a hash. Two actions have the same hash only if every value in them
// is equal. A value that cannot be represented exactly is refused, so that no two different actions look the same.
package action

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

// Action is one call of one skill for one customer.
type Action struct {
	// Instance and Customer are the ids, in the form in which Countersign writes them: lower case, with hyphens.
	Instance, Customer string
	// Skill is the name in the spelling in which the skill is registered. The name of an unregistered skill is in lower case.
	Skill string
	// Audience is the audience of the receipt, or nil.
	Audience *string
	// Arguments is a JSON object. Hash uses its canonical form. An empty string is the same as "{}".
	Arguments string
}

// Hash returns the SHA-256 of the RFC 8785 form of the object with the members v (the number 1), instance, customer, skill,
// audience and arguments. It returns an *Error if Canonical refuses the arguments.
func (a Action) Hash() ([sha256.Size]byte, error) {
	arguments, err := Canonical([]byte(a.Arguments))
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	// json.Marshal would replace invalid UTF-8, so that two different names would have the same hash.
	names := []string{a.Instance, a.Customer, a.Skill}
	if a.Audience != nil {
		names = append(names, *a.Audience)
	}
	for _, name := range names {
		if !utf8.ValidString(name) {
			return [sha256.Size]byte{}, errors.New("hashing an action: a name or an id is not valid UTF-8")
		}
	}
	text, err := json.Marshal(struct {
		V         int             `json:"v"`
		Instance  string          `json:"instance"`
		Customer  string          `json:"customer"`
		Skill     string          `json:"skill"`
		Audience  *string         `json:"audience"`
		Arguments json.RawMessage `json:"arguments"`
	}{1, a.Instance, a.Customer, a.Skill, a.Audience, json.RawMessage(arguments)})
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("hashing an action: %w", err)
	}
	canonical, err := jcs.Transform(text)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("hashing an action: %w", err)
	}
	return sha256.Sum256(canonical), nil
}

// Lower returns skill with the ASCII letters in lower case and all other characters unchanged. Names of skills are compared in
// this form.
func Lower(skill string) string {
	lower := []byte(skill)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + ('a' - 'A')
		}
	}
	return string(lower)
}
