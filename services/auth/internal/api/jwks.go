package api

import (
	"context"
	"encoding/base64"

	"github.com/countersign/countersign/services/auth/internal/api/gen"
)

// jwksCaching lets verifiers cache the keys for half of the time that a new key is published before it signs.
const jwksCaching = "public, max-age=300"

// GetJWKS returns the public keys of all tokens that may be valid.
func (a *API) GetJWKS(ctx context.Context, _ gen.GetJWKSRequestObject) (gen.GetJWKSResponseObject, error) {
	keys, err := a.Keys.Public(ctx, a.Sessions.AccessLifetime)
	if err != nil {
		return nil, err
	}
	set := gen.JWKS{Keys: []gen.JWK{}}
	for _, key := range keys {
		set.Keys = append(set.Keys, gen.JWK{
			Kid: key.ID, Kty: gen.OKP, Crv: gen.Ed25519, Alg: gen.EdDSA, Use: gen.Sig, X: base64.RawURLEncoding.EncodeToString(key.Key),
		})
	}
	return gen.GetJWKS200JSONResponse{Body: set, Headers: gen.GetJWKS200ResponseHeaders{CacheControl: jwksCaching}}, nil
}
