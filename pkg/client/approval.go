package client

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/countersign/countersign/pkg/client/action"
)

// approvals is the path of the approvals, after the path of the instance.
const approvals = "/approvals"

// Action is what the agent is about to do. At least one of Customer and Identity must be set.
type Action struct {
	// Customer and Identity are ids.
	Customer, Identity string
	Skill              string
	// Arguments is what the skill gets. It is encoded as JSON and must give an object, or be nil. Numbers that a float64 cannot hold
	// exactly are refused; send them as texts.
	Arguments any
	// Audience names the server that will verify the receipt. Empty means the audience that the skill is registered with.
	Audience string
	// Note is what the agent says about the action, at most 500 characters. The person sees it apart from the action.
	Note string
	// ExpiresIn is how long the person may take, from 30 s to one hour. 0 means ten minutes.
	ExpiresIn time.Duration
	// Session is the session token of an earlier Confirmation for the same person, or zero.
	Session Secret
	// Show gives the link to the person. Only Confirm uses it. Confirm calls it once, if the person must answer. If it fails, Confirm
	// cancels the approval.
	Show func(context.Context, Approval) error
}

// The values of Approval.Status.
const (
	StatusNotRequired = "not_required"
	StatusPending     = "pending"
	StatusApproved    = "approved"
	StatusDenied      = "denied"
	StatusExpired     = "expired"
	StatusCancelled   = "cancelled"
	StatusUsed        = "used"
)

// The values of Approval.Grants: what a use gives.
const (
	GrantsAction  = "action"  // a receipt
	GrantsSession = "session" // a session token
)

// Approval is the question to the person and its state. Status StatusNotRequired means that nothing must be asked; then only Reason
// is set.
type Approval struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	// Grants is GrantsAction or GrantsSession.
	Grants string `json:"grants"`
	Skill  string `json:"skill"`
	// URL is the link for the person, while the approval is pending. Whoever has the link can read and deny the approval. Approving
	// needs the PIN.
	URL Secret `json:"url"`
	// ActionHash is the hash of the action in 64 lower-case hexadecimal digits.
	ActionHash string `json:"action_hash"`
	// Summary is the text that the operator's template gives for this action.
	Summary string `json:"summary"`
	// Reason says why the approval was denied or expired (wrong_pin, person, pin_changed), or why nothing is required.
	Reason    string    `json:"reason"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Confirmation is the permission to run the action once.
type Confirmation struct {
	// NotRequired is true if nothing had to be asked; then only Reason and Arguments are set.
	NotRequired bool
	Reason      string
	// ApprovalID and ActionHash identify the approval and the action. ActionHash is empty for a session.
	ApprovalID, ActionHash string
	// Receipt proves the approval of this action to a tool server. It is zero for a session.
	Receipt Secret
	UsedAt  time.Time
	// Session is a session token for the next actions of the same person. It is zero for a receipt.
	Session          Secret
	SessionExpiresAt time.Time
	// Arguments is the JSON text that was approved. Run the skill with exactly these arguments.
	Arguments string
}

// NewUseID returns 128 random bits, in the form that Use expects. Make a new id for each execution of a skill, and never compute it
// from the action.
func NewUseID() string {
	var bits [16]byte
	rand.Read(bits[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(bits[:])
}

// canonical returns the arguments as RFC 8785 JSON.
func (a Action) canonical() (string, error) {
	if a.Arguments == nil {
		return "{}", nil
	}
	text, err := json.Marshal(a.Arguments)
	if err != nil {
		return "", fmt.Errorf("encoding the arguments: %w", err)
	}
	return action.Canonical(text)
}

// Ask asks for an approval. The same action again while its approval is pending gives the same approval. The error is an
// *action.Error if the arguments cannot be approved, and a *Refusal if Countersign refuses.
func (c *Client) Ask(ctx context.Context, a Action) (Approval, error) {
	arguments, err := a.canonical()
	if err != nil {
		return Approval{}, err
	}
	body := struct {
		Customer  string          `json:"customer_id,omitempty"`
		Identity  string          `json:"identity_id,omitempty"`
		Skill     string          `json:"skill"`
		Arguments json.RawMessage `json:"arguments"`
		Audience  string          `json:"audience,omitempty"`
		Note      string          `json:"note,omitempty"`
		ExpiresIn int             `json:"expires_in,omitempty"`
	}{a.Customer, a.Identity, a.Skill, json.RawMessage(arguments), a.Audience, a.Note, int(a.ExpiresIn.Seconds())}
	var approval Approval
	if err := c.send(ctx, request{method: http.MethodPost, path: approvals, body: body, session: a.Session}, &approval); err != nil {
		return Approval{}, err
	}
	// An answer that is not understood must not open a skill.
	if approval.Status == StatusNotRequired && approval.ID == "" && reasonOpens(approval.Reason) || approval.Status == StatusPending && approval.ID != "" {
		return approval, nil
	}
	return Approval{}, errors.New("asking countersign: the answer has no approval")
}

// Wait returns the approval when it is no longer pending. It asks again until then, so give ctx a deadline. To read the present
// state at once, use Get.
func (c *Client) Wait(ctx context.Context, id string) (Approval, error) {
	for {
		asked := time.Now()
		approval, err := c.get(ctx, id, longestPoll)
		if err != nil || approval.Status != StatusPending {
			return approval, err
		}
		// A server that stops answers before the wait has ended.
		if time.Since(asked) < time.Second {
			if err := c.pause(ctx, time.Second); err != nil {
				return approval, fmt.Errorf("waiting for the person: %w", err)
			}
		}
	}
}

// Get returns the present state of an approval.
func (c *Client) Get(ctx context.Context, id string) (Approval, error) { return c.get(ctx, id, 0) }

func (c *Client) get(ctx context.Context, id string, wait time.Duration) (Approval, error) {
	path := approvals + "/" + url.PathEscape(id) + "?wait=" + strconv.Itoa(int(wait.Seconds()))
	var approval Approval
	if err := c.send(ctx, request{method: http.MethodGet, path: path, wait: wait}, &approval); err != nil {
		return Approval{}, err
	}
	if approval.ID != id || approval.Status == "" {
		return Approval{}, errors.New("asking countersign: the answer is not this approval")
	}
	return approval, nil
}

// Use uses an approval, once. useID comes from NewUseID. The same useID again gives the same answer, so a program that lost the
// answer, or was restarted, can repeat the call. The repeated receipt is the same text, so it may have expired. arguments is the
// JSON object with which the skill will run; if it is not the approved one, the refusal is ActionMismatch.
func (c *Client) Use(ctx context.Context, id, useID string, arguments json.RawMessage) (Confirmation, error) {
	canonical, err := action.Canonical(arguments)
	if err != nil {
		return Confirmation{}, err
	}
	body := struct {
		UseID     string          `json:"use_id"`
		Arguments json.RawMessage `json:"arguments"`
	}{useID, json.RawMessage(canonical)}
	var answer struct {
		Receipt          Secret    `json:"receipt"`
		ActionHash       string    `json:"action_hash"`
		UsedAt           time.Time `json:"used_at"`
		SessionToken     Secret    `json:"session_token"`
		SessionExpiresAt time.Time `json:"session_expires_at"`
	}
	if err := c.send(ctx, request{method: http.MethodPost, path: approvals + "/" + url.PathEscape(id) + "/use", body: body}, &answer); err != nil {
		return Confirmation{}, err
	}
	if answer.Receipt.Reveal() == "" && answer.SessionToken.Reveal() == "" {
		return Confirmation{}, errors.New("asking countersign: the answer has neither a receipt nor a session")
	}
	return Confirmation{
		ApprovalID: id, ActionHash: answer.ActionHash, Receipt: answer.Receipt, UsedAt: answer.UsedAt,
		Session: answer.SessionToken, SessionExpiresAt: answer.SessionExpiresAt, Arguments: canonical,
	}, nil
}

// Cancel ends an approval that is pending, or approved and not used. It may be called again.
func (c *Client) Cancel(ctx context.Context, id string) error {
	return c.send(ctx, request{method: http.MethodPost, path: approvals + "/" + url.PathEscape(id) + "/cancel"}, nil)
}
