package gate

import (
	"context"
	"errors"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// Step is a way to give the link to the person. A smaller Step is better.
type Step int

// The steps of the ladder. The gate uses the first that the client and the settings allow.
const (
	Elicitation Step = iota
	Progress
	Text
)

// ParseStep reads the name of a step.
func ParseStep(name string) (Step, error) {
	for step, other := range []string{"elicitation", "progress", "text"} {
		if name == other {
			return Step(step), nil
		}
	}
	return 0, errors.New("must be elicitation, progress or text")
}

const (
	// withURLElicitation is the only version with an initialize in which a server can send a URL to the person.
	withURLElicitation = "2025-11-25"
	// withInputRequests is the first version in which a server asks the client for inputs in its answer.
	withInputRequests = "2026-07-28"
)

func (r *request) modern() bool { return r.call.Version >= withInputRequests }

// asksInAnswer reports whether the answer of the call can contain a URL for the person.
func (g *Gate) asksInAnswer(r *request) bool {
	return g.BestStep <= Elicitation && r.modern() && r.call.URLElicitation
}

// steps returns what can be sent to the client before the answer, best first.
func (g *Gate) steps(r *request) []Step {
	var possible []Step
	if g.asksInAnswer(r) || !r.to.CanReceive() {
		return nil
	}
	if g.BestStep <= Elicitation && !r.modern() && r.from.Version == withURLElicitation && r.from.URLElicitation {
		possible = append(possible, Elicitation)
	}
	if g.BestStep <= Progress && r.call.ProgressToken != nil {
		possible = append(possible, Progress)
	}
	return possible
}

// errNextStep means that the client cannot use this step.
var errNextStep = errors.New("the client cannot use this step")

// errWaited means that the time for an answer of the person, before the call is answered, has ended.
var errWaited = errors.New("the person did not answer yet")

// gone reports whether the client of the call is gone or cancelled it.
func gone(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return cause != nil && !errors.Is(cause, errWaited)
}

// climb gives the link to the person and waits for the answer, as long as the settings allow. It returns at once with a Decision that
// is Waiting if the person can get the link only in the answer of the call, and did not get it yet.
func (g *Gate) climb(ctx context.Context, r *request, decision hold.Decision) (hold.Decision, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, g.Wait, errWaited)
	defer cancel()
	defer g.Metrics.waits()()
	steps := g.steps(r)
	for decision.Waiting && ctx.Err() == nil {
		var next hold.Decision
		var err error
		switch {
		case len(steps) > 0 && steps[0] == Elicitation:
			next, err = g.elicit(ctx, r, decision.Approval)
		case len(steps) > 0:
			next, err = g.progress(ctx, r, decision.Approval)
		case decision.First:
			return decision, nil
		default:
			next, err = g.Holder.Await(ctx, r.held, decision.Approval)
		}
		if errors.Is(err, errNextStep) {
			steps = steps[1:]
			continue
		}
		if err != nil {
			return decision, err
		}
		// The approval is another one if a second call with the same arguments used the first.
		decision = next
	}
	return decision, nil
}

// outcome is what Await returns.
type outcome struct {
	decision hold.Decision
	err      error
}

// await starts Await. The caller must call cancel and receive the outcome.
func (g *Gate) await(ctx context.Context, r *request, approval client.Approval) (outcomes <-chan outcome, cancel context.CancelFunc) {
	ctx, cancel = context.WithCancel(ctx)
	results := make(chan outcome, 1)
	go func() {
		decision, err := g.Holder.Await(ctx, r.held, approval)
		results <- outcome{decision, err}
	}()
	return results, cancel
}

// progress waits for the person and sends the link in notifications, because some clients show only the last one. The values are
// negative, because values must increase and most servers start with 0.
func (g *Gate) progress(ctx context.Context, r *request, approval client.Approval) (hold.Decision, error) {
	outcomes, cancel := g.await(ctx, r, approval)
	defer cancel()
	ticker := time.NewTicker(g.progressPause)
	defer ticker.Stop()
	for {
		if ctx.Err() != nil {
			o := <-outcomes
			return o.decision, o.err
		}
		r.notified++
		err := r.to.Send(message.Notification("notifications/progress", map[string]any{
			"progressToken": r.call.ProgressToken, "progress": float64(r.notified)/1000 - 1,
			// The link comes first: Claude Code shows the first 200 characters.
			"message": "Open " + approval.URL.Reveal() + " and answer there. The call waits for the approval of the person.",
		}))
		if err != nil {
			cancel()
			if o := <-outcomes; o.err != nil || !o.decision.Waiting {
				return o.decision, o.err
			}
			return hold.Decision{}, errNextStep
		}
		select {
		case o := <-outcomes:
			return o.decision, o.err
		case <-ticker.C:
		}
	}
}
