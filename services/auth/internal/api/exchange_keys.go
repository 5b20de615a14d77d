package api

import (
	"context"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
	"github.com/countersign/countersign/services/auth/internal/exchange"
)

// keyOwner allows the user who owns the exchange key in the path. After that it validates the request against the OpenAPI
// document: if the key belongs to another user or does not exist, the answer says nothing about the rest of the request.
func (a *API) keyOwner(next echo.HandlerFunc) echo.HandlerFunc {
	next = a.Spec.Validate(next)
	return a.signedIn(func(c echo.Context) error {
		ctx, text := c.Request().Context(), c.Param("id")
		id, err := uuid.Parse(text)
		if err != nil || len(text) != len(id.String()) { // uuid.Parse also accepts other spellings
			return exchange.ErrNoKey
		}
		if err := a.ExchangeKeys.Has(ctx, caller.From(ctx).ID, id); err != nil {
			return err
		}
		return next(c)
	})
}

// ListExchangeKeys returns the caller's keys.
func (a *API) ListExchangeKeys(ctx context.Context, _ gen.ListExchangeKeysRequestObject) (gen.ListExchangeKeysResponseObject, error) {
	keys, err := a.ExchangeKeys.List(ctx, caller.From(ctx).ID)
	if err != nil {
		return nil, err
	}
	return gen.ListExchangeKeys200JSONResponse{Success: true, Message: "Your API keys", Data: keyAnswers(keys)}, nil
}

// CreateExchangeKey stores a key of the caller.
func (a *API) CreateExchangeKey(ctx context.Context, r gen.CreateExchangeKeyRequestObject) (gen.CreateExchangeKeyResponseObject, error) {
	b := r.Body
	key := exchange.NewKey{
		Exchange: string(b.Exchange), Label: b.Label, IsTestnet: b.IsTestnet != nil && *b.IsTestnet, Permissions: []string{},
		Credentials: exchange.Credentials{APIKey: b.APIKey, APISecret: b.APISecret},
	}
	if b.Permissions != nil {
		key.Permissions = *b.Permissions
	}
	if b.APIPassphrase != nil {
		key.Passphrase = *b.APIPassphrase
	}
	k, err := a.ExchangeKeys.Create(ctx, caller.From(ctx).ID, key)
	if err != nil {
		return nil, err
	}
	return gen.CreateExchangeKey200JSONResponse{Success: true, Message: "The API key is stored", Data: keyAnswer(k)}, nil
}

// UpdateExchangeKey changes the given fields of a key.
func (a *API) UpdateExchangeKey(ctx context.Context, r gen.UpdateExchangeKeyRequestObject) (gen.UpdateExchangeKeyResponseObject, error) {
	k, err := a.ExchangeKeys.Change(ctx, caller.From(ctx).ID, r.ID, exchange.Change{
		Label: r.Body.Label, IsTestnet: r.Body.IsTestnet, Permissions: r.Body.Permissions,
		APIKey: r.Body.APIKey, APISecret: r.Body.APISecret, Passphrase: r.Body.APIPassphrase,
	})
	if err != nil {
		return nil, err
	}
	return gen.UpdateExchangeKey200JSONResponse{Success: true, Message: "The API key is changed", Data: keyAnswer(k)}, nil
}

// DeleteExchangeKey deletes a key.
func (a *API) DeleteExchangeKey(ctx context.Context, r gen.DeleteExchangeKeyRequestObject) (gen.DeleteExchangeKeyResponseObject, error) {
	if err := a.ExchangeKeys.Delete(ctx, caller.From(ctx).ID, r.ID); err != nil {
		return nil, err
	}
	answer := gen.DeleteExchangeKey200JSONResponse{Success: true, Message: "The API key is deleted"}
	answer.Data.ID = r.ID
	return answer, nil
}

// DecryptExchangeKey returns a key's credentials, if the caller has proved the session within the last 5 minutes.
func (a *API) DecryptExchangeKey(ctx context.Context, r gen.DecryptExchangeKeyRequestObject) (gen.DecryptExchangeKeyResponseObject, error) {
	c, err := a.ExchangeKeys.Reveal(ctx, caller.From(ctx).ID, r.ID)
	if err != nil {
		return nil, err
	}
	answer := gen.RevealedKeyAnswer{Success: true, Message: "The decrypted API key"}
	answer.Data.APIKey, answer.Data.Secret = c.APIKey.Reveal(), c.APISecret.Reveal()
	if passphrase := c.Passphrase.Reveal(); passphrase != "" {
		answer.Data.Passphrase = &passphrase
	}
	return gen.DecryptExchangeKey200JSONResponse(answer), nil
}

// TestExchangeKey tests a key at its exchange. A refusal by the exchange is an answer with status 200.
func (a *API) TestExchangeKey(ctx context.Context, r gen.TestExchangeKeyRequestObject) (gen.TestExchangeKeyResponseObject, error) {
	result, err := a.ExchangeKeys.Test(ctx, caller.From(ctx).ID, r.ID)
	if err != nil {
		return nil, err
	}
	ok := result.Code == exchange.OK
	answer := gen.TestExchangeKey200JSONResponse{Success: ok, Message: result.Message}
	answer.Data.Ok, answer.Data.Code = ok, string(result.Code)
	answer.Data.Message, answer.Data.LatencyMs = result.Message, result.Latency.Milliseconds()
	return answer, nil
}

func keyAnswers(keys []exchange.Key) []gen.ExchangeKey {
	answers := []gen.ExchangeKey{}
	for _, k := range keys {
		answers = append(answers, keyAnswer(k))
	}
	return answers
}

func keyAnswer(k exchange.Key) gen.ExchangeKey {
	return gen.ExchangeKey{
		ID: k.ID, Exchange: gen.Exchange(k.Exchange), Label: k.Label, APIKeyMasked: k.MaskedKey, IsTestnet: k.IsTestnet,
		Permissions: k.Permissions, IsValid: k.IsValid, LastTestedAt: k.LastTestedAt, CreatedAt: k.CreatedAt, UpdatedAt: k.UpdatedAt,
	}
}
