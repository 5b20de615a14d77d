package api

import (
	"context"
	"encoding/base64"

	"github.com/countersign/countersign/services/auth/internal/api/gen"
)

// jwksCaching lets verifiers keep the keys for a few minutes: short enough that a new key is known soon.
const jwksCaching = "public, max-age=300"

// GetJWKS lists the public keys of the tokens that may still be good.
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
