package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/services/pin-admin/internal/api/gen"
	"github.com/countersign/countersign/services/pin-admin/internal/decision"
)

// linkView is the schema LinkView. The generated type would repeat every field of ApprovalView.
type linkView struct {
	gen.ApprovalView
	KnownBrowser         bool    `json:"known_browser"`
	KnownBrowserRequired bool    `json:"known_browser_required"`
	Phrase               *string `json:"phrase"`
}

func (v linkView) VisitOpenApprovalResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

func showPage(p decision.Page) gen.ApprovalView {
	v := p.View
	shown := gen.ApprovalView{
		ID: p.ID, Status: p.Status, Reason: p.Reason, Grants: v.Grants, InstanceName: v.InstanceName, CustomerName: v.CustomerName, Requester: v.Requester, Audience: v.Audience,
		Title: v.Shown.Title, SummaryParts: each(v.Shown.Summary, showPart), Arguments: each(v.Shown.Arguments, showArgument), Note: v.Note,
		ExpiresAt: p.ExpiresAt, ExpiresIn: int(max(0, p.ExpiresAt.Sub(p.At)).Seconds()), TriesLeft: p.TriesLeft(),
		PIN: showPINState(p.PIN.Resolved), ViewHash: p.Hash,
	}
	if v.Session != nil {
		shown.Session = &gen.OpenedSession{Minutes: v.Session.Minutes}
		if v.Session.Skills != nil {
			shown.Session.Skills = &v.Session.Skills
		}
	}
	return shown
}

func showPINState(r pin.Resolved) gen.PINState {
	switch {
	case !r.HasPIN():
		return gen.PINState{State: "not_set"}
	case r.Deactivated:
		return gen.PINState{State: "inactive"}
	case r.Locked():
		return gen.PINState{State: "locked", LockedUntil: r.LockedUntil, LockedFor: seconds(r.LockedUntil.Sub(r.At))}
	}
	return gen.PINState{State: "active"}
}

// seconds returns a duration in seconds, rounded up. It returns nil for zero.
func seconds(d time.Duration) *int {
	if d <= 0 {
		return nil
	}
	n := int((d + time.Second - 1) / time.Second)
	return &n
}

// pinErrors maps outcomes to the values of the field error.
var pinErrors = map[pin.Outcome]string{
	pin.Wrong: "invalid_pin", pin.Locked: "pin_locked", pin.Inactive: "pin_inactive", pin.NotSet: "pin_not_set",
}

func showDecision(d decision.Answer) gen.DecisionJSONResponse {
	answer := gen.DecisionJSONResponse{Body: gen.Decision{
		Status: d.Status, Reason: d.Reason, RemainingAttempts: d.PIN.Remaining, RemainingTries: d.TriesLeft,
		LockedUntil: d.PIN.LockedUntil, RetryAfter: seconds(d.PIN.RetryAfter),
	}}
	if text, refused := pinErrors[d.PIN.Outcome]; refused {
		answer.Body.Error = &text
	}
	if d.Cookie != nil {
		text := d.Cookie.String()
		answer.Headers.SetCookie = &text
	}
	return answer
}
