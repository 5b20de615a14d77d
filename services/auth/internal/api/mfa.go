package api

import (
	"context"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/services/auth/internal/api/gen"
	"github.com/countersign/countersign/services/auth/internal/mfa"
)

// GetMFA returns the state of the caller's second factor.
func (a *API) GetMFA(ctx context.Context, _ gen.GetMFARequestObject) (gen.GetMFAResponseObject, error) {
	s, err := a.Factors.Status(ctx, caller.From(ctx).ID)
	if err != nil {
		return nil, err
	}
	return gen.GetMFA200JSONResponse{Active: s.ActiveSince != nil, ActiveSince: s.ActiveSince, RecoveryCodesLeft: s.RecoveryCodes}, nil
}

// EnrolTOTP creates a second factor, which ConfirmTOTP activates.
func (a *API) EnrolTOTP(ctx context.Context, _ gen.EnrolTOTPRequestObject) (gen.EnrolTOTPResponseObject, error) {
	if err := caller.RequireFresh(ctx); err != nil {
		return nil, err
	}
	who := caller.From(ctx)
	e, err := a.Factors.Enrol(ctx, who.ID, who.Email)
	if err != nil {
		return nil, err
	}
	return gen.EnrolTOTP200JSONResponse{Secret: e.Secret.Reveal(), OtpauthURI: e.URI.Reveal()}, nil
}

// ConfirmTOTP activates the enrolled second factor.
func (a *API) ConfirmTOTP(ctx context.Context, request gen.ConfirmTOTPRequestObject) (gen.ConfirmTOTPResponseObject, error) {
	code, err := mfa.ParseCode(request.Body.Code)
	if err != nil {
		return nil, err
	}
	codes, err := a.Logins.ConfirmSecondFactor(ctx, code)
	if err != nil {
		return nil, err
	}
	return gen.ConfirmTOTP200JSONResponse(revealCodes(codes)), nil
}

// RemoveTOTP removes the second factor.
func (a *API) RemoveTOTP(ctx context.Context, request gen.RemoveTOTPRequestObject) (gen.RemoveTOTPResponseObject, error) {
	code, err := mfa.ParseCode(request.Body.Code)
	if err != nil {
		return nil, err
	}
	if err := a.Factors.Remove(ctx, caller.From(ctx).ID, code); err != nil {
		return nil, err
	}
	return gen.RemoveTOTP204Response{}, nil
}

// RenewRecoveryCodes replaces the caller's recovery codes.
func (a *API) RenewRecoveryCodes(ctx context.Context, request gen.RenewRecoveryCodesRequestObject) (gen.RenewRecoveryCodesResponseObject, error) {
	code, err := mfa.ParseCode(request.Body.Code)
	if err != nil {
		return nil, err
	}
	codes, err := a.Factors.RenewRecoveryCodes(ctx, caller.From(ctx).ID, code)
	if err != nil {
		return nil, err
	}
	return gen.RenewRecoveryCodes200JSONResponse(revealCodes(codes)), nil
}

func revealCodes(codes []secret.Text) gen.RecoveryCodes {
	var revealed gen.RecoveryCodes
	for _, code := range codes {
		revealed.RecoveryCodes = append(revealed.RecoveryCodes, code.Reveal())
	}
	return revealed
}
