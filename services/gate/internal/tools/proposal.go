package tools

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/pkg/client/action"
)

// The limits of pin-admin, in characters.
const maxSkillName, maxTitle, maxSummary = 255, 100, 500

// Proposal says how a tool could be registered as a skill.
type Proposal struct {
	Tool string `json:"tool"`
	// Annotations are what the server says. Nil means that it says nothing.
	Annotations struct {
		ReadOnly    *bool `json:"readOnlyHint"`
		Destructive *bool `json:"destructiveHint"`
	} `json:"annotations"`
	Skill string `json:"skill"`
	// Body is what PUT /v1/instances/{id}/skills/{skill} of pin-admin expects.
	Body struct {
		Mode string `json:"mode"`
		// Title and Summary are nil if there is none. Then the person reads the name.
		Title   *string `json:"title"`
		Summary *string `json:"summary"`
	} `json:"body"`
	// Problem says why the skill cannot be registered, or it is empty.
	Problem string `json:"problem"`
}

// Propose returns a proposal for each tool. The name of a skill is prefix and the name of the tool.
func Propose(all []Tool, prefix string) []Proposal {
	names := map[string]int{}
	for _, t := range all {
		names[action.Lower(prefix+t.Name)]++
	}
	proposals := make([]Proposal, 0, len(all))
	for _, t := range all {
		p := Proposal{Tool: t.Name, Skill: prefix + t.Name, Problem: nameProblem(prefix + t.Name)}
		if p.Problem == "" && names[action.Lower(p.Skill)] > 1 {
			p.Problem = "several tools have this name; upper and lower case are equal for the policy"
		}
		p.Annotations.ReadOnly, p.Annotations.Destructive = t.ReadOnly, t.Destructive
		p.Body.Mode = mode(t)
		p.Body.Title, p.Body.Summary = title(t), summary(t)
		proposals = append(proposals, p)
	}
	return proposals
}

// mode returns the mode that the annotations suggest. If they say nothing, or contradict each other, it is approval.
func mode(t Tool) string {
	says := func(hint *bool, b bool) bool { return hint != nil && *hint == b }
	switch {
	case says(t.ReadOnly, true) && !says(t.Destructive, true):
		return "open"
	case says(t.Destructive, false):
		return "session"
	}
	return "approval"
}

// nameProblem returns why a skill with a name cannot be registered, or "".
func nameProblem(name string) string {
	switch {
	case utf8.RuneCountInString(name) > maxSkillName:
		return "the name is longer than 255 characters"
	case strings.Contains(name, "*"):
		return "the name contains *, which is a wildcard in a policy"
	case !isPlain(name):
		return "the name contains a character that is not visible"
	case name == "." || name == "..":
		return "the name cannot be a part of a URL"
	}
	return ""
}

func title(t Tool) *string {
	text := strings.TrimSpace(t.Title)
	if text == "" || utf8.RuneCountInString(text) > maxTitle || !isPlain(text) {
		return nil
	}
	return &text
}

// summary returns a template with the required arguments of a tool, as "write_file: path {path}, content {content}". Arguments that a
// template cannot name are left out; the person reads all arguments below the summary.
func summary(t Tool) *string {
	var schema struct {
		Required []json.RawMessage `json:"required"`
	}
	if json.Unmarshal(t.InputSchema, &schema) != nil || !isPlain(t.Name) {
		return nil
	}
	text := strings.NewReplacer("{", "{{", "}", "}}").Replace(t.Name) + ":"
	separator, seen := " ", map[string]bool{}
	for _, raw := range schema.Required {
		var name string
		if json.Unmarshal(raw, &name) != nil || !canBePlaceholder(name) || seen[name] {
			continue
		}
		next := text + separator + name + " {" + name + "}"
		if utf8.RuneCountInString(next) > maxSummary {
			continue
		}
		text, separator, seen[name] = next, ", ", true
	}
	if len(seen) == 0 {
		return nil
	}
	return &text
}

// canBePlaceholder reports whether a template of pin-admin can name a property. A dot would separate two names.
func canBePlaceholder(name string) bool {
	return name != "" && isPlain(name) && !strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.M, unicode.Nd) && r != '_' && r != '-' && r != '$'
	})
}

// isPlain reports whether pin-admin accepts all characters of a text of an operator: each of them is visible.
func isPlain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r == utf8.RuneError || r == '\u2800' || !unicode.IsGraphic(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
	})
}

// Printable returns a text of a server as a terminal may show it: at most 100 characters, and characters that are not visible as ⟨U+001B⟩.
func Printable(text string) string {
	var b strings.Builder
	shown := 0
	for _, r := range text {
		if shown++; shown > 100 {
			b.WriteRune('…')
			break
		}
		if isPlain(string(r)) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		}
	}
	return b.String()
}
