package api

import (
	"context"
	"encoding/base64"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
)

// receiptKeysCaching lets tool servers cache the keys for half of the time that a new key is published before it signs.
const receiptKeysCaching = "public, max-age=300"

// GetReceiptKeys returns the public keys of all receipts that may be valid.
func (a *API) GetReceiptKeys(ctx context.Context, _ gen.GetReceiptKeysRequestObject) (gen.GetReceiptKeysResponseObject, error) {
	keys, err := a.ReceiptKeys.Public(ctx, approval.ReceiptKeyPublished)
	if err != nil {
		return nil, err
	}
	set := gen.JWKS{Keys: []gen.JWK{}}
	for _, key := range keys {
		set.Keys = append(set.Keys, gen.JWK{
			Kid: key.ID, Kty: gen.OKP, Crv: gen.Ed25519, Alg: gen.EdDSA, Use: gen.Sig, X: base64.RawURLEncoding.EncodeToString(key.Key),
		})
	}
	return gen.GetReceiptKeys200JSONResponse{Body: set, Headers: gen.GetReceiptKeys200ResponseHeaders{CacheControl: receiptKeysCaching}}, nil
}
