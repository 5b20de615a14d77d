package api

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
	"github.com/countersign/countersign/services/pin-admin/internal/phrase"
)

// GetMyPhrase returns the phrase of the signed-in customer.
func (a *API) GetMyPhrase(ctx context.Context, _ gen.GetMyPhraseRequestObject) (gen.GetMyPhraseResponseObject, error) {
	customer, err := a.signedInCustomer(ctx)
	if err != nil {
		return nil, err
	}
	chosen, err := a.Phrases.Get(ctx, customer)
	if err != nil {
		return nil, err
	}
	var answer gen.GetMyPhrase200JSONResponse
	if chosen != nil {
		text := chosen.Reveal()
		answer.Phrase = &text
	}
	return answer, nil
}

// SetMyPhrase sets the phrase of the signed-in customer.
func (a *API) SetMyPhrase(ctx context.Context, r gen.SetMyPhraseRequestObject) (gen.SetMyPhraseResponseObject, error) {
	customer, err := a.signedInCustomer(ctx)
	if err != nil {
		return nil, err
	}
	chosen, err := phrase.Parse(r.Body.Phrase.Reveal())
	if err != nil {
		return nil, err
	}
	return gen.SetMyPhrase204Response{}, a.Phrases.Set(ctx, customer, chosen)
}

// RemoveMyPhrase removes the phrase of the signed-in customer.
func (a *API) RemoveMyPhrase(ctx context.Context, _ gen.RemoveMyPhraseRequestObject) (gen.RemoveMyPhraseResponseObject, error) {
	customer, err := a.signedInCustomer(ctx)
	if err != nil {
		return nil, err
	}
	return gen.RemoveMyPhrase204Response{}, a.Phrases.Remove(ctx, customer)
}

// SetCustomerPhrase sets the phrase of a customer.
func (a *API) SetCustomerPhrase(ctx context.Context, r gen.SetCustomerPhraseRequestObject) (gen.SetCustomerPhraseResponseObject, error) {
	chosen, err := phrase.Parse(r.Body.Phrase.Reveal())
	if err != nil {
		return nil, err
	}
	return gen.SetCustomerPhrase204Response{}, a.Phrases.Set(ctx, r.CustomerID, chosen)
}

// RemoveCustomerPhrase removes the phrase of a customer.
func (a *API) RemoveCustomerPhrase(ctx context.Context, r gen.RemoveCustomerPhraseRequestObject) (gen.RemoveCustomerPhraseResponseObject, error) {
	return gen.RemoveCustomerPhrase204Response{}, a.Phrases.Remove(ctx, r.CustomerID)
}

// signedInCustomer returns the customer that the signed-in user is, or errNoCustomer.
func (a *API) signedInCustomer(ctx context.Context) (uuid.UUID, error) {
	customer, err := a.Directory.CustomerByEmail(ctx, caller.From(ctx).Email)
	if errors.Is(err, directory.ErrNoCustomer) {
		return uuid.Nil, errNoCustomer
	}
	return customer, err
}
