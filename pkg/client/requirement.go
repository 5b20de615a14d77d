package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// Person is on whose behalf an agent acts. Both values are ids.
type Person struct {
	Customer string
	// Identity is empty if the account of the customer on a channel is not known.
	Identity string
}

// The values of Requirement.Reason.
const (
	ReasonPINNeeded         = "pin_needed"
	ReasonApprovalNeeded    = "approval_needed"
	ReasonNoActivePIN       = "no_active_pin"
	ReasonRoleExempt        = "role_exempt"
	ReasonSkillNotProtected = "skill_not_protected"
	ReasonSessionActive     = "session_active"
)

// Requirement says whether a skill needs a confirmation now, and why.
type Requirement struct {
	Required bool
	// Reason is one of the constants Reason….
	Reason string
}

// CheckRequired asks whether a skill needs a confirmation of the person now. session is the token of a live session, or zero. It
// changes nothing, so nobody is asked. Use it to decide about a call without sending its arguments; Ask decides and asks in one
// request.
func (c *Client) CheckRequired(ctx context.Context, who Person, skill string, session Secret) (Requirement, error) {
	query := url.Values{"customer_id": {who.Customer}, "skill": {skill}}
	if who.Identity != "" {
		query.Set("identity_id", who.Identity)
	}
	var answer struct {
		Required *bool  `json:"required"`
		Reason   string `json:"reason"`
	}
	if err := c.send(ctx, request{method: http.MethodPost, path: "/pin/check-required?" + query.Encode(), session: session}, &answer); err != nil {
		return Requirement{}, err
	}
	// An answer that is not understood must not open a skill.
	if answer.Required == nil || !*answer.Required && !reasonOpens(answer.Reason) {
		return Requirement{}, errors.New("asking countersign: the answer does not say whether a PIN is required")
	}
	return Requirement{Required: *answer.Required, Reason: answer.Reason}, nil
}

// reasonOpens reports whether a reason can be the reason for which nothing is required.
func reasonOpens(reason string) bool {
	switch reason {
	case ReasonNoActivePIN, ReasonRoleExempt, ReasonSkillNotProtected, ReasonSessionActive:
		return true
	}
	return false
}

// Lookup returns the person with an account on a channel of the instance. externalID is the id of the account there. The error is a
// *Refusal with the code NotFound if there is no such account.
func (c *Client) Lookup(ctx context.Context, channel, externalID string) (Person, error) {
	query := url.Values{"channel": {channel}, "external_id": {externalID}}
	var answer struct {
		Identity string `json:"identity_id"`
		Customer string `json:"customer_id"`
	}
	if err := c.send(ctx, request{method: http.MethodGet, path: "/lookup/identity?" + query.Encode()}, &answer); err != nil {
		return Person{}, err
	}
	if answer.Identity == "" || answer.Customer == "" {
		return Person{}, errors.New("asking countersign: the answer has no identity")
	}
	return Person{Customer: answer.Customer, Identity: answer.Identity}, nil
}
