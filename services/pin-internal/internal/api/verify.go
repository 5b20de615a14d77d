package api

import (
	"context"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/web"
	"github.com/countersign/countersign/services/pin-internal/internal/api/gen"
)

// refusals maps outcomes to the values of the field error. Its absence means that the PIN is right.
var refusals = map[pin.Outcome]gen.VerificationError{
	pin.Wrong: "invalid_pin", pin.Locked: "pin_locked", pin.Inactive: "pin_inactive", pin.NotSet: "pin_not_set",
}

// VerifyPIN checks a PIN within the guess budget.
func (a *API) VerifyPIN(ctx context.Context, r gen.VerifyPINRequestObject) (gen.VerifyPINResponseObject, error) {
	result, err := a.Verifier.Verify(ctx, caller.From(ctx).Key, subject(r.InstanceID, r.Body.CustomerID, r.Body.IdentityID), r.Body.PIN)
	if err != nil {
		return nil, err
	}
	answer := gen.VerifyPIN200JSONResponse{Body: gen.Verification{
		Verified: result.Outcome == pin.Right, RemainingAttempts: result.Remaining, LockedUntil: result.LockedUntil,
	}}
	if refusal, refused := refusals[result.Outcome]; refused {
		answer.Body.Error = &refusal
	}
	if result.RetryAfter > 0 {
		seconds := web.RetryAfter(result.RetryAfter)
		answer.Headers.RetryAfter = &seconds
	}
	if result.Session != nil {
		text, minutes := result.Session.Reveal(), int(result.TTL.Minutes())
		answer.Body.SessionToken, answer.Body.SessionTTLMinutes = &text, &minutes
	}
	return answer, nil
}
