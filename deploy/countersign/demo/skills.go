package demo

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/skill"
)

// transferArguments is the JSON Schema of the demo's payment. The amount is a text, because JSON programs round numbers.
const transferArguments = `{
  "type": "object",
  "required": ["amount", "currency", "to"],
  "additionalProperties": false,
  "properties": {
    "amount": {"type": "string", "pattern": "^[0-9]{1,9}[.][0-9]{2}$"},
    "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
    "to": {
      "type": "object",
      "required": ["name", "iban"],
      "additionalProperties": false,
      "properties": {"name": {"type": "string", "maxLength": 100}, "iban": {"type": "string", "maxLength": 42}}
    },
    "reference": {"type": "string", "maxLength": 140}
  }
}`

// skills returns one skill of each mode.
func skills() []skill.Skill {
	text := func(s string) *string { return &s }
	return []skill.Skill{
		{Name: "rates.read", Mode: skill.Open, Title: text("Read exchange rates")},
		{Name: "accounts.statement", Mode: skill.Session, Title: text("Read the account statement")},
		{Name: "payments.transfer", Mode: skill.Approval, Title: text("Send money"), Summary: text("Send {amount} {currency} to {to.name}"),
			Arguments: text(transferArguments), Audience: text("payments")},
	}
}

// registerSkills registers the demo's skills that the instance does not have. It changes no skill, because the user of the demo may
// have edited it.
func registerSkills(ctx context.Context, store skill.Store, instance uuid.UUID) error {
	for _, s := range skills() {
		_, err := store.Get(ctx, instance, s.Name)
		if errors.Is(err, skill.ErrNone) {
			_, _, err = store.Put(ctx, instance, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
