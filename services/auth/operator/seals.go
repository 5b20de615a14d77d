package operator

import (
	"context"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/seal"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/services/auth/internal/exchange"
	"github.com/countersign/countersign/services/auth/internal/mfa"
)

// sealed lists all columns whose values auth seals under AUTH_KEYS.
var sealed = []seal.Column{exchange.Sealed, mfa.Sealed, signing.AccessTokens.Sealed()}

// Count is the number of values of one kind that are sealed under one key.
type Count struct {
	KeyID string
	// Values names the kind in the plural, for example "signing keys".
	Values string
	Count  int
}

// CountSealed counts the values that auth has sealed under each key of AUTH_KEYS, ordered by kind and key.
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

// RenewSeals seals all values again under the current key of the ring. auth may run at the same time. The error is
// keyring.ErrUnknownKey if a value is sealed under a key that is not on the ring.
func RenewSeals(ctx context.Context, db *sqlx.DB, ring *keyring.Ring) error {
	for _, column := range sealed {
		if err := column.Renew(ctx, db, ring); err != nil {
			return err
		}
	}
	return nil
}
