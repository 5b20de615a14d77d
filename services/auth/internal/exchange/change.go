package exchange

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/patch"
	"github.com/countersign/countersign/pkg/secret"
)

// Change is a change of a key. Fields that are not given stay unchanged.
type Change struct {
	Label             patch.Field[string]
	IsTestnet         *bool
	Permissions       *[]string
	APIKey, APISecret *secret.Text
	Passphrase        patch.Field[secret.Text]
}

// credentials reports whether c changes the credentials.
func (c Change) credentials() bool {
	return c.APIKey != nil || c.APISecret != nil || c.Passphrase.Given
}

// Change changes a key and returns it. A change of the credentials or of the network deletes the result of the last test. It
// returns ErrNoKey or ErrNoPassphrase, and for a change of the credentials caller.ErrNotFresh when the last sign-in or step-up
// was too long ago; this refusal is recorded.
func (k *Keys) Change(ctx context.Context, user, id uuid.UUID, c Change) (key Key, err error) {
	if c == (Change{}) {
		r, err := find(ctx, k.DB, user, id, "")
		return r.Key, err
	}
	if c.credentials() {
		if err := k.requireFresh(ctx, id); err != nil {
			return Key{}, err
		}
	}
	const q = `
		update exchange_keys
		   set label = $2, is_testnet = $3, permissions = $4, masked_key = $5, credentials_sealed = $6, generation = $7,
		       is_valid = $8, last_tested_at = $9, updated_at = now()
		 where id = $1
		returning ` + keyColumns
	err = audit.Change(ctx, k.DB, func(tx *sqlx.Tx) (audit.Event, error) {
		r, err := find(ctx, tx, user, id, `for update`)
		if err != nil {
			return audit.Event{}, err
		}
		fields, err := r.apply(c, k.Ring)
		if err != nil {
			return audit.Event{}, err
		}
		err = tx.GetContext(ctx, &key, q, id, r.Label, r.IsTestnet, r.Permissions, r.MaskedKey, r.Sealed, r.Generation, r.IsValid, r.LastTestedAt)
		if err != nil {
			return audit.Event{}, fmt.Errorf("changing an exchange key: %w", err)
		}
		return auditEvent("changed", id, map[string]any{"exchange": r.Exchange, "fields": fields}), nil
	})
	return key, err
}

// apply changes the row and returns the names of the given fields.
func (r *row) apply(c Change, ring *keyring.Ring) (fields []string, err error) {
	if c.Label.Given {
		fields, r.Label = append(fields, "label"), c.Label.Value
	}
	if c.Permissions != nil {
		fields, r.Permissions = append(fields, "permissions"), *c.Permissions
	}
	before := r.Generation
	if c.IsTestnet != nil {
		fields = append(fields, "is_testnet")
		if *c.IsTestnet != r.IsTestnet {
			r.IsTestnet, r.Generation = *c.IsTestnet, uuid.New()
		}
	}
	if c.credentials() {
		fields, r.Generation = append(fields, "credentials"), uuid.New()
		if err := r.replaceCredentials(c, ring); err != nil {
			return nil, err
		}
	}
	if r.Generation != before {
		r.IsValid, r.LastTestedAt = nil, nil
	}
	return fields, nil
}

// replaceCredentials opens the credentials, replaces the given parts, and seals the credentials again.
func (r *row) replaceCredentials(c Change, ring *keyring.Ring) error {
	credentials, err := openCredentials(ring, r.ID, r.Sealed)
	if err != nil {
		return err
	}
	if c.APIKey != nil {
		credentials.APIKey = *c.APIKey
	}
	if c.APISecret != nil {
		credentials.APISecret = *c.APISecret
	}
	if c.Passphrase.Given {
		credentials.Passphrase = secret.Text{}
		if c.Passphrase.Value != nil {
			credentials.Passphrase = *c.Passphrase.Value
		}
	}
	if err := credentials.check(r.Exchange); err != nil {
		return err
	}
	r.MaskedKey = credentials.masked()
	r.Sealed, err = credentials.seal(ring, r.ID)
	return err
}
