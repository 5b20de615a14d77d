package gate

import (
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// ask answers a call whose approval is pending with the link.
func (g *Gate) ask(r *request, decision hold.Decision) Verdict {
	approval := decision.Approval
	answer := g.fail(r, hold.Ask(r.call.Tool, approval))
	if g.asksInAnswer(r) {
		sealed, err := g.sealQuestion(r, approval)
		if err != nil {
			return g.refuse(r, decision, err)
		}
		answer = message.Result(r.call.ID, map[string]any{
			"resultType":    "input_required",
			"inputRequests": map[string]any{inputKey: map[string]any{"method": "elicitation/create", "params": question(r, approval, client.NewUseID())}},
			"requestState":  sealed,
		})
	}
	g.record(r, "pending", decision, nil)
	return Verdict{Answer: answer}
}

// refuse answers a call that must not run.
func (g *Gate) refuse(r *request, decision hold.Decision, err error) Verdict {
	var refusal *client.Refusal
	var invalid *action.Error
	var state *stateError
	label, answer := "unavailable", g.fail(r, hold.Explain(err))
	switch {
	case errors.As(err, &state):
		label, answer = "refused", message.Error(r.call.ID, message.CodeInvalidParams, state.Error())
	case errors.Is(err, errDeclined):
		label, answer = "cancelled", g.fail(r, hold.NotExecuted+"The person declined to open the link, and the approval was cancelled. Do not try it again unless they ask for it.")
	case errors.Is(err, client.Denied), errors.Is(err, client.DeniedRecently), errors.Is(err, client.SkillDenied):
		label = "denied"
	case errors.As(err, &refusal), errors.As(err, &invalid):
		label = "refused"
	}
	g.record(r, label, decision, err)
	return Verdict{Answer: answer}
}

// fail returns the answer with a text for the model. A client that expects a task gets an error, because a result would not be a task.
func (g *Gate) fail(r *request, text string) []byte {
	if r.call.Task {
		return message.Error(r.call.ID, message.CodeRefused, text)
	}
	result := map[string]any{"content": []map[string]string{{"type": "text", "text": text}}, "isError": true}
	if r.modern() {
		result["resultType"] = "complete"
	}
	return message.Result(r.call.ID, result)
}

// record counts a decision, and logs it if the call was held or failed. Arguments, links and receipts are secret.
func (g *Gate) record(r *request, label string, decision hold.Decision, err error) {
	g.Metrics.calls.WithLabelValues(label).Inc()
	if err == nil && !decision.Held {
		return
	}
	fields := []any{"tool", fmt.Sprintf("%.100s", r.call.Tool), "decision", label, "seconds", time.Since(r.began).Seconds()}
	if decision.Approval.ID != "" {
		fields = append(fields, "approval", decision.Approval.ID)
	}
	var invalid *action.Error
	var refusal *client.Refusal
	switch {
	case errors.As(err, &invalid):
		fields = append(fields, "reason", "the arguments "+invalid.Reason) // without the names of members
	case errors.As(err, &refusal) && refusal.Code == client.Invalid: // the detail has the names of members
		fields = append(fields, "reason", "countersign refused: invalid")
	case err != nil:
		fields = append(fields, "reason", err.Error())
	}
	if label == "unavailable" {
		g.Log.Error("call", fields...)
		return
	}
	g.Log.Info("call", fields...)
}
