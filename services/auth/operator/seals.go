package operator

import (
	"context"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/services/auth/internal/exchange"
	"github.com/countersign/countersign/services/auth/internal/mfa"
	"github.com/countersign/countersign/services/auth/internal/seal"
	"github.com/countersign/countersign/services/auth/internal/signing"
)

// sealed are all columns that auth keeps sealed under AUTH_KEYS.
var sealed = []seal.Column{exchange.Sealed, mfa.Sealed, signing.Sealed}

// Count is how many values of one sort are sealed under one key.
type Count struct {
	KeyID string
	// Values is the sort, in the plural, for people: "signing keys".
	Values string
	Count  int
}

// CountSealed returns what auth keeps sealed under each key of AUTH_KEYS, ordered by sort and key.
func CountSealed(ctx context.Context, db *sqlx.DB) ([]Count, error) {
	var counts []Count
	for _, column := range sealed {
		byKey, err := column.Count(ctx, db)
		if err != nil {
			return nil, err
		}
		for _, key := range slices.Sorted(maps.Keys(byKey)) {
			counts = append(counts, Count{KeyID: key, Values: column.Values, Count: byKey[key]})
		}
	}
	return counts, nil
}

// RenewSeals seals everything under the current key of the ring. auth may run meanwhile. The error is
// keyring.ErrUnknownKey when a value is sealed under a key that is not on the ring.
func RenewSeals(ctx context.Context, db *sqlx.DB, ring *keyring.Ring) error {
	for _, column := range sealed {
		if err := column.Renew(ctx, db, ring); err != nil {
			return err
		}
	}
	return nil
}
