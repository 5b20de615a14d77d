// Package hook answers the question of an agent whether it may use a tool. It is for agents with hooks of the kind of Claude Code's
// PreToolUse, which start a program for each call. What it does not understand, it denies.
package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
)

// Grace is how long an answer may take after the wait for the person. Agents go on when a hook takes too long, so the answer then is
// deny.
const Grace = 8 * time.Second

// Settings are how calls are judged.
type Settings struct {
	Client                *client.Client
	State                 hold.Memory
	Person                client.Person
	Audience, SkillPrefix string
	// Wait is how long a call waits for the person, if the person has its link already.
	Wait time.Duration
	// MaxInput is the largest input in bytes.
	MaxInput int
	// AllowUnprotected: a call that the policy does not protect is allowed. Otherwise the agent decides, which usually asks its user.
	AllowUnprotected bool
}

// Answer is what the agent reads.
type Answer struct {
	Output *Output `json:"hookSpecificOutput,omitempty"`
}

// Output is the decision of an Answer. There is none if the agent decides.
type Output struct {
	Event    string `json:"hookEventName"`
	Decision string `json:"permissionDecision"`
	Reason   string `json:"permissionDecisionReason"`
}

// Deny returns the Answer for a call that must not run.
func Deny(reason string) Answer { return Answer{&Output{event, "deny", reason}} }

// Unclear is the reason for a call that the hook does not understand.
func Unclear(problem string) string {
	return hold.NotExecuted + "The hook of Countersign does not allow this call: " + problem + "."
}

// Run reads a question from in and returns the answer, at the latest after Wait and Grace, also if in has no end. Then it leaves a
// goroutine behind, so the process must end.
func Run(ctx context.Context, s Settings, in io.Reader) Answer {
	ctx, cancel := context.WithTimeout(ctx, s.Wait+Grace)
	defer cancel()
	answered := make(chan Answer, 1)
	go func() { answered <- s.answer(ctx, in) }()
	select {
	case answer := <-answered:
		return answer
	case <-ctx.Done():
		return Deny(hold.NotExecuted + "Countersign did not answer in time. Try again later.")
	}
}

func (s Settings) answer(ctx context.Context, in io.Reader) Answer {
	asked, err := read(in, s.MaxInput)
	if err != nil {
		return Deny(Unclear(err.Error()))
	}
	call := hold.Call{Person: s.Person, Skill: s.SkillPrefix + asked.tool, Arguments: asked.arguments, Audience: s.Audience}
	holder := hold.New(s.Client, s.State)
	decision, err := holder.Decide(ctx, call)
	if err == nil && decision.Waiting && !decision.First {
		waiting, stop := context.WithTimeout(ctx, s.Wait)
		defer stop()
		decision, err = holder.Await(waiting, call, decision.Approval)
	}
	switch {
	case err != nil:
		return Deny(hold.Explain(err))
	case decision.Waiting:
		return Deny(hold.Ask(asked.tool, decision.Approval))
	case !decision.Run:
		return Deny(Unclear("there is no decision"))
	case decision.Held || decision.Reason == client.ReasonSessionActive:
		return Answer{&Output{event, "allow", "Countersign: the person has confirmed this call."}}
	case s.AllowUnprotected:
		return Answer{&Output{event, "allow", "Countersign: this call needs no confirmation."}}
	}
	return Answer{}
}

// Write prints an answer as one line.
func (a Answer) Write(out io.Writer) error {
	line, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	if _, err := out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}
