// Package phrase keeps the phrases that customers chose. A known browser shows the phrase, so that people notice a false page.
package phrase

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"golang.org/x/text/unicode/norm"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/secret"
)

// ErrForm means that a text is not a phrase.
var ErrForm = fault.New(fault.Invalid, "phrase_form", "A phrase has 1 to 100 visible characters").About("phrase")

const maxCharacters = 100

// Phrase is a text that a customer chose. It prints as [redacted].
type Phrase struct{ secret.Text }

// Parse reads a phrase, or returns ErrForm. A phrase is in the form NFC, so that it looks the same everywhere. It has 1 to 100
// characters, none of which is a control, format or other invisible character except the space, and it does not begin or end with a
// space.
func Parse(text string) (Phrase, error) {
	if !utf8.ValidString(text) {
		return Phrase{}, ErrForm
	}
	text = norm.NFC.String(text)
	n := utf8.RuneCountInString(text)
	if n < 1 || n > maxCharacters || strings.TrimSpace(text) != text || strings.ContainsFunc(text, invisible) {
		return Phrase{}, ErrForm
	}
	return Phrase{secret.New(text)}, nil
}

func invisible(r rune) bool {
	return r != ' ' && !unicode.IsPrint(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Store keeps phrases, sealed under PIN_KEYS.
type Store struct {
	DB   *sqlx.DB
	Ring *keyring.Ring
}

// Get returns a customer's phrase, or nil if the customer has none.
func (s Store) Get(ctx context.Context, customer uuid.UUID) (*Phrase, error) {
	var sealed []byte
	err := s.DB.GetContext(ctx, &sealed, `select sealed from customer_phrases where customer_id = $1`, customer)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a phrase: %w", err)
	}
	text, err := s.Ring.Open(keyring.Phrases, customer.String(), sealed)
	if err != nil {
		return nil, fmt.Errorf("opening the phrase of customer %s: %w", customer, err)
	}
	return &Phrase{secret.New(string(text))}, nil
}

// Set sets a customer's phrase. It returns directory.ErrNoCustomer.
func (s Store) Set(ctx context.Context, customer uuid.UUID, p Phrase) error {
	return audit.Change(ctx, s.DB, func(tx *sqlx.Tx) (audit.Event, error) { return s.SetIn(ctx, tx, customer, p) })
}

// SetIn sets a customer's phrase in a transaction, and returns the event for the audit trail.
func (s Store) SetIn(ctx context.Context, tx *sqlx.Tx, customer uuid.UUID, p Phrase) (audit.Event, error) {
	sealed, err := s.Ring.Seal(keyring.Phrases, customer.String(), []byte(p.Reveal()))
	if err != nil {
		return audit.Event{}, fmt.Errorf("sealing a phrase: %w", err)
	}
	const q = `
		insert into customer_phrases (customer_id, sealed) values ($1, $2)
		on conflict (customer_id) do update set sealed = excluded.sealed, set_at = now()`
	_, err = tx.ExecContext(ctx, q, customer, sealed)
	var violation *pq.Error
	switch {
	case errors.As(err, &violation) && violation.Code == "23503": // foreign_key_violation
		return audit.Event{}, directory.ErrNoCustomer
	case err != nil:
		return audit.Event{}, fmt.Errorf("setting a phrase: %w", err)
	}
	return audit.Event{Action: "phrase.set", CustomerID: audit.ID(customer)}, nil
}

// errUnchanged ends a transaction that changed nothing, so that no audit row is written. It is not a failure.
var errUnchanged = errors.New("nothing to change")

// Remove removes a customer's phrase. It does nothing if the customer has none. It returns directory.ErrNoCustomer.
func (s Store) Remove(ctx context.Context, customer uuid.UUID) error {
	const q = `
		with removed as (delete from customer_phrases where customer_id = $1 returning customer_id)
		select exists (select from removed) from customers c where c.id = $1`
	err := audit.Change(ctx, s.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		var removed bool
		err := tx.GetContext(ctx, &removed, q, customer)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audit.Event{}, directory.ErrNoCustomer
		case err != nil:
			return audit.Event{}, fmt.Errorf("removing a phrase: %w", err)
		case !removed:
			return audit.Event{}, errUnchanged
		}
		return audit.Event{Action: "phrase.removed", CustomerID: audit.ID(customer)}, nil
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}
