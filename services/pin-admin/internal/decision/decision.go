// Package decision lets a person decide about an approval: at its link, or signed in.
package decision

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/page"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/policy"
	"github.com/countersign/countersign/pkg/skill"
	"github.com/countersign/countersign/services/pin-admin/internal/approvalview"
	"github.com/countersign/countersign/services/pin-admin/internal/knownbrowser"
)

// ErrViewChanged means that the person saw something else than what would be decided now. Nothing was charged.
var ErrViewChanged = fault.New(fault.Conflict, "view_changed", "What you are asked for has changed. Read it again")

// Desk opens and decides approvals.
type Desk struct {
	DB       *sqlx.DB
	Redis    redis.UniversalClient
	Verifier *pin.Verifier
	Skills   skill.Store
	Browsers knownbrowser.Browsers
	// UseWithin is the time for the use of an approval, from the decision.
	UseWithin time.Duration
}

// Page is what a person reads.
type Page struct {
	approval.Asked
	View approvalview.View
	// Hash identifies View.
	Hash string
	// PIN is the state of the PIN that would be asked for, and of the browser.
	PIN pin.ResolvedApproval
}

// maxSkills is the largest number of registered skills that a view names.
const maxSkills = 1000

// Open returns what the person of an approval reads. It changes nothing. The error is pin.ErrNotWithin if the person is not within the
// instance any more.
func (d Desk) Open(ctx context.Context, a approval.Asked, b knownbrowser.Browser) (Page, error) {
	state, err := d.Verifier.ResolveApproval(ctx, a.ID, b.Hash())
	if err != nil {
		return Page{}, err
	}
	var registered page.Of[skill.Skill]
	if a.Kind == approval.Session && state.Enforcement == policy.Listed {
		registered, err = d.Skills.List(ctx, a.InstanceID, page.Page{Number: 1, Size: maxSkills, SortBy: "skill", Ascending: true})
		if err != nil {
			return Page{}, err
		}
	}
	view, err := approvalview.New(a, state.Policy, registered.Items)
	if err != nil {
		return Page{}, err
	}
	hash, err := view.Hash()
	return Page{a, view, hash, state}, err
}

// Request is a decision that a person sends.
type Request struct {
	// ViewHash is the Hash of the page that the person read.
	ViewHash string
	// PIN is nil for a denial.
	PIN *pin.PIN
	// Browser is the person's browser. SignedIn is true for a signed-in customer, who needs no known browser.
	Browser  knownbrowser.Browser
	SignedIn bool
}

// Answer is the state of an approval after a decision was sent.
type Answer struct {
	Status    approval.Status
	Reason    *approval.Reason
	TriesLeft int
	// PIN is the result of the verification. It is zero after a denial.
	PIN pin.Result
	// Cookie makes the browser known. It is nil if the browser does not get one.
	Cookie *http.Cookie
}

// Decide approves with a right PIN, or denies if the request has none. Nothing is charged if it returns an error, except for
// budget.ErrUnknown.
//
// Errors: approval.Refused and approval.ErrDeciding, ErrViewChanged, pin.ErrBrowserUnknown, pin.ErrNotWithin, and the errors of
// pin.Verifier.Approve.
func (d Desk) Decide(ctx context.Context, a approval.Asked, r Request) (Answer, error) {
	if a.Status != approval.Pending {
		return Answer{}, approval.Refused(a.Status)
	}
	opened, err := d.Open(ctx, a, r.Browser)
	if err != nil {
		return Answer{}, err
	}
	if subtle.ConstantTimeCompare([]byte(opened.Hash), []byte(r.ViewHash)) != 1 {
		return Answer{}, ErrViewChanged
	}
	if r.PIN == nil {
		return d.deny(ctx, a)
	}
	return d.approve(ctx, a, r)
}

func (d Desk) deny(ctx context.Context, a approval.Asked) (Answer, error) {
	if err := approval.Deny(ctx, d.DB, a.Row); err != nil {
		return Answer{}, err
	}
	approval.Announce(context.WithoutCancel(ctx), d.Redis, a.ID)
	reason := approval.Person
	return Answer{Status: approval.Denied, Reason: &reason, TriesLeft: a.TriesLeft()}, nil
}

func (d Desk) approve(ctx context.Context, a approval.Asked, r Request) (Answer, error) {
	result, err := d.Verifier.Approve(ctx, pin.Approving{
		ID: a.ID, Subject: a.Subject(), Browser: r.Browser.Hash(), SignedIn: r.SignedIn, UseWithin: d.UseWithin,
	}, *r.PIN)
	if errors.Is(err, pin.ErrNoTry) {
		return Answer{}, approval.WhyRefused(ctx, d.DB, a.Row)
	}
	if err != nil {
		return Answer{}, err
	}
	if result.Tried == nil { // no candidate was compared
		return Answer{Status: a.Status, Reason: a.Reason, TriesLeft: a.TriesLeft(), PIN: result}, nil
	}
	ctx = context.WithoutCancel(ctx) // the decision is written
	a.Status, a.Reason, a.Tries = approval.Status(result.Tried.Status), (*approval.Reason)(result.Tried.Reason), result.Tried.Tries
	answer := Answer{Status: a.Status, Reason: a.Reason, TriesLeft: a.TriesLeft(), PIN: result}
	deniedByThis := result.Outcome == pin.Wrong && a.Status == approval.Denied && a.Reason != nil && *a.Reason == approval.WrongPIN
	switch {
	case result.Tried.Approved, deniedByThis:
		approval.Announce(ctx, d.Redis, a.ID)
	case a.Status != approval.Pending:
		return Answer{}, approval.Refused(a.Status) // another decision was first
	}
	if result.Outcome == pin.Right && !result.Tried.Approved { // another attempt locked the PIN meanwhile
		answer.PIN.Outcome = pin.Inactive
		if result.LockedUntil != nil {
			answer.PIN.Outcome = pin.Locked
		}
	}
	if result.Tried.Approved && !r.SignedIn {
		answer.Cookie, err = d.Browsers.Remember(ctx, r.Browser, result.Holder, result.Generation)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("approval %s was approved: %w", a.ID, err)
	}
	return answer, nil
}
