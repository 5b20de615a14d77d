package api

import (
	"context"

	"github.com/countersign/countersign/services/auth/internal/api/gen"
	"github.com/countersign/countersign/services/auth/internal/mfa"
)

// StepUp proves the caller's session again.
func (a *API) StepUp(ctx context.Context, request gen.StepUpRequestObject) (gen.StepUpResponseObject, error) {
	var code *mfa.Code
	if given := request.Body.Code; given != nil {
		parsed, err := mfa.ParseCode(*given)
		if err != nil {
			return nil, err
		}
		code = &parsed
	}
	if err := a.Logins.StepUp(ctx, request.Body.Password, code); err != nil {
		return nil, err
	}
	return gen.StepUp204Response{}, nil
}
