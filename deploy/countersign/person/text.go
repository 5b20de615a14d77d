package person

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// Printable returns text with every character that a terminal does not show as itself replaced by its code, as in ⟨U+202E⟩. So a
// text from the agent cannot move the cursor, change earlier lines or reverse what follows.
func Printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		}
	}
	return b.String()
}

// Print writes what is asked, as plain text. Nothing that it writes contains a control character except line ends.
func (v View) Print(w io.Writer) error {
	var b strings.Builder
	line := func(format string, texts ...any) {
		for i, text := range texts {
			if s, ok := text.(string); ok {
				texts[i] = Printable(s)
			}
		}
		fmt.Fprintf(&b, format+"\n", texts...)
	}
	line("%s asks for your approval.\n", v.InstanceName)
	line("  %s", v.Title)
	if summary := v.summary(); summary != "" {
		line("  %s", summary)
	}
	line("")
	if v.Grants == "session" && v.Session != nil {
		line("If you approve, %s may use %s for %d minutes, not only for this action.\n", v.InstanceName, v.skills(), v.Session.Minutes)
	}
	if v.CustomerName != nil {
		line("For: %s", *v.CustomerName)
	}
	if v.Requester != nil {
		line("Requested by: %s", *v.Requester)
	}
	if v.Audience != nil {
		line("Valid at: %s", *v.Audience)
	}
	line("Arguments:")
	for _, a := range v.Arguments {
		line("  %s: %s%s", a.Path, a.Value, warnings(a.Flags))
	}
	if len(v.Arguments) == 0 {
		line("  none")
	}
	if v.Note != nil {
		line("The agent says: %s", *v.Note)
	}
	line("Time left: %s", (time.Duration(v.ExpiresIn) * time.Second).String())
	_, err := io.WriteString(w, b.String())
	return err
}

func (v View) summary() string {
	var b strings.Builder
	for _, part := range v.SummaryParts {
		if part.Value == nil {
			b.WriteString(part.Text)
		} else {
			b.WriteString(*part.Value + warnings(part.Flags))
		}
	}
	return b.String()
}

func (v View) skills() string {
	if v.Session.Skills == nil {
		return "every skill that needs a PIN session"
	}
	return "the skills " + strings.Join(v.Session.Skills, ", ")
}

// warnings returns what is suspicious about a value, in brackets, or "".
func warnings(flags []string) string {
	var b strings.Builder
	for _, flag := range flags {
		b.WriteString(" [" + strings.ReplaceAll(flag, "_", " ") + "]")
	}
	return b.String()
}
