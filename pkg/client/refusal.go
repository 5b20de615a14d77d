package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Code says why Countersign refused. A Code is an error, so errors.Is(err, client.PINLocked) works with every error of this package.
type Code string

const (
	// Denied: the person said no, or the link got two wrong PINs.
	Denied Code = "approval_denied"
	// Expired: the person did not answer in time, or the approval was not used in time.
	Expired Code = "approval_expired"
	// Cancelled: Cancel was called.
	Cancelled Code = "approval_cancelled"
	// Used: the approval was used with another use id.
	Used Code = "approval_used"
	// Pending: the person has not answered yet. Only Use returns it.
	Pending Code = "approval_pending"
	// ActionMismatch: the arguments are not the approved arguments. The approval is not used up.
	ActionMismatch Code = "action_mismatch"
	// PINChanged: the PIN was changed, locked or removed after the approval.
	PINChanged Code = "pin_changed"
	// SessionEnded: the session of this use has ended.
	SessionEnded Code = "session_ended"
	// ReceiptGone: the key that signed the receipt of this use was revoked.
	ReceiptGone Code = "receipt_gone"
	// PINNotSet: the person has no PIN, so nothing can be approved.
	PINNotSet Code = "pin_not_set"
	// PINLocked: too many wrong PINs. Refusal.LockedUntil says until when.
	PINLocked Code = "pin_locked"
	// PINInactive: too many wrong PINs in total. An admin must set the PIN again.
	PINInactive Code = "pin_inactive"
	// TooManyPending: the customer has the greatest number of unanswered approvals.
	TooManyPending Code = "too_many_pending"
	// DeniedRecently: the person denied the same action a short time ago. Refusal.RetryAfter says how long not to ask.
	DeniedRecently Code = "denied_recently"
	// SkillDenied: the person denied this skill twice. Refusal.RetryAfter says how long not to ask.
	SkillDenied Code = "skill_denied"
	// RateLimited: too many approvals were asked for in the last hour.
	RateLimited Code = "approvals_rate_limited"
	// NotFound: the customer, the identity or the approval is not in the instance, or the proxy key belongs to another instance.
	NotFound Code = "not_found"
	// Unauthorized: the proxy key is missing, malformed, expired or revoked.
	Unauthorized Code = "unauthorized"
	// Invalid: the request is not valid. Refusal.Detail names the field.
	Invalid Code = "invalid"
)

func (c Code) Error() string { return string(c) }

// Refusal is an answer of Countersign that does not allow the action. Do not run the action.
type Refusal struct {
	Code Code
	// Detail is a sentence for people. It may be empty.
	Detail string
	// Reason says more about Denied and Expired: wrong_pin, person or pin_changed. It may be empty.
	Reason string
	// LockedUntil is the end of the lock of PINLocked, or zero.
	LockedUntil time.Time
	// RetryAfter is how long another request makes no sense, or zero.
	RetryAfter time.Duration
	// Status is the HTTP status, or 0 if the approval's own status is the refusal.
	Status int
}

func (r *Refusal) Error() string {
	text := "countersign refused: " + string(r.Code)
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	if !r.LockedUntil.IsZero() {
		text += " (locked until " + r.LockedUntil.Format(time.RFC3339) + ")"
	}
	return text
}

// Unwrap returns the Code.
func (r *Refusal) Unwrap() error { return r.Code }

// unavailable is an answer that says nothing about the action, such as 503.
type unavailable struct{ status int }

func (u unavailable) Error() string {
	return fmt.Sprintf("countersign answered with status %d", u.status)
}

// readFailure turns an answer that is not 2xx into an error.
func readFailure(answer *http.Response, body []byte) error {
	if answer.StatusCode < 400 || answer.StatusCode >= 500 {
		return unavailable{answer.StatusCode}
	}
	var content struct {
		Detail      json.RawMessage `json:"detail"`
		LockedUntil time.Time       `json:"locked_until"`
	}
	_ = json.Unmarshal(body, &content) // an answer of a proxy may have another shape
	r := &Refusal{
		Code: Code(answer.Header.Get("X-Error-Code")), Detail: detail(content.Detail), LockedUntil: content.LockedUntil,
		RetryAfter: retryAfter(answer.Header), Status: answer.StatusCode,
	}
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		r.Code = Unauthorized
	case answer.StatusCode == http.StatusNotFound:
		r.Code = NotFound
	case answer.StatusCode == http.StatusUnprocessableEntity:
		r.Code = Invalid
	case r.Code == "": // the answer of a proxy
		r.Code = Code(fmt.Sprintf("status_%d", answer.StatusCode))
	}
	return r
}

// detail returns the text of {"detail": "text"} or of {"detail": [{"loc": […], "msg": "text"}, …]}.
func detail(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var issues []struct {
		Loc []any  `json:"loc"`
		Msg string `json:"msg"`
	}
	if json.Unmarshal(raw, &issues) != nil {
		return ""
	}
	var parts []string
	for _, issue := range issues {
		var field []string
		for _, part := range issue.Loc {
			field = append(field, fmt.Sprint(part))
		}
		parts = append(parts, strings.TrimPrefix(strings.Join(field, "."), "body.")+": "+strings.TrimPrefix(issue.Msg, "Value error, "))
	}
	return strings.Join(parts, "; ")
}
