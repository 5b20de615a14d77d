package hold

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/action"
)

// NotExecuted is the beginning of every text about a call that did not run. A model must not think that it did.
const NotExecuted = "NOT EXECUTED. "

// Ask is the text for a client that can only show texts: it asks the agent to send the link to the person.
func Ask(tool string, waiting client.Approval) string {
	return NotExecuted + "This call needs the approval of the person. Ask them to open this link before " +
		waiting.ExpiresAt.UTC().Format("15:04 UTC") + " and to answer there: " + waiting.URL.Reveal() +
		" Never ask for the PIN. After they have approved, call " + tool + " again with the same arguments."
}

// Explain returns the text about a call that an error of this package stopped.
func Explain(err error) string { return NotExecuted + explain(err) }

func explain(err error) string {
	var invalid *action.Error
	var refusal *client.Refusal
	switch {
	case errors.As(err, &invalid):
		return "This call needs an approval, and its arguments cannot be approved: " + invalid.Error() + "."
	case !errors.As(err, &refusal):
		return "Countersign, which must allow this call, cannot be reached or did not give a valid answer. Try again later."
	}
	code := refusal.Code
	if code == client.Expired && refusal.Reason == string(client.PINChanged) {
		code = client.PINChanged
	}
	switch code {
	case client.Denied:
		if refusal.Reason == "wrong_pin" {
			return "The link was closed after wrong PINs. Call again to get a new link."
		}
		return "The person denied this call. Do not try it again."
	case client.Expired:
		return "The person did not answer in time. Call again to get a new link."
	case client.Cancelled:
		return "The approval was cancelled. Call again to get a new link."
	case client.PINChanged:
		return "The PIN was changed, locked or removed after the approval. Call again to get a new link."
	case client.PINNotSet:
		return "The person has no PIN yet. They must choose a PIN before this call can run."
	case client.PINLocked:
		return "The PIN of the person is locked" + until(refusal.LockedUntil) + "."
	case client.PINInactive:
		return "The PIN of the person is deactivated. An administrator must set it again."
	case client.TooManyPending:
		return "Other calls already wait for the approval of the person. Wait until they are answered."
	case client.DeniedRecently:
		return "The person denied this call a short time ago. Do not try it again" + pause(refusal.RetryAfter) + "."
	case client.SkillDenied:
		return "The person denied calls of this tool repeatedly. Do not try it again" + pause(refusal.RetryAfter) + "."
	case client.RateLimited:
		return "Too many approvals were requested. Do not call again" + pause(refusal.RetryAfter) + "."
	case client.NotFound, client.Unauthorized:
		return "Countersign does not accept the configuration of this agent. Its operator must check the instance, the proxy key and the customer."
	case client.Invalid:
		return "Countersign refused this call: " + strings.TrimSuffix(refusal.Detail, ".") + "."
	}
	return fmt.Sprintf("Countersign refused this call (%s).", code)
}

func until(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " until " + t.UTC().Format("2006-01-02 15:04 UTC")
}

func pause(d time.Duration) string {
	switch minutes := math.Ceil(d.Minutes()); {
	case minutes < 1:
		return ""
	case minutes == 1:
		return " within the next minute"
	default:
		return fmt.Sprintf(" within the next %.0f minutes", minutes)
	}
}
