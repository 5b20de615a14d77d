package hold_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/client/hold"
)

func start(t *testing.T) (*clienttest.Countersign, *hold.Holder) {
	t.Helper()
	d := clienttest.New(t)
	c, err := client.New(client.Config{URL: d.URL, Instance: clienttest.Instance, ProxyKey: client.NewSecret(clienttest.ProxyKey)})
	if err != nil {
		t.Fatal(err)
	}
	return d, hold.New(c, nil)
}

func call(skill, arguments string) hold.Call {
	return hold.Call{Person: client.Person{Customer: clienttest.Customer}, Skill: skill, Arguments: json.RawMessage(arguments)}
}

func decide(t *testing.T, h *hold.Holder, c hold.Call) hold.Decision {
	t.Helper()
	d, err := h.Decide(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenCallRunsAndItsArgumentsAreNotSent(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	got := decide(t, h, call("read", strings.Repeat("x", 100_000)))
	if !got.Run || got.Held || got.Reason != client.ReasonSkillNotProtected || len(d.Requests()) != 1 {
		t.Errorf("%+v, requests %q", got, d.Requests())
	}
}

func TestApprovedCallRunsOnce(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer")
	c := call("transfer", `{"to": "Bob", "amount": 1.0}`)
	first := decide(t, h, c)
	again := decide(t, h, c)
	if first.Run || !first.Waiting || !first.First || again.Approval.ID != first.Approval.ID || !again.Waiting || again.First {
		t.Fatalf("%+v, %+v", first, again)
	}
	d.Decide("approved")
	run := decide(t, h, c)
	if !run.Run || run.Approval.ID != first.Approval.ID || run.Receipt.Reveal() != "receipt.canary."+first.Approval.ID || run.Arguments != `{"amount":1,"to":"Bob"}` {
		t.Fatalf("%+v", run)
	}
	if next := decide(t, h, c); next.Run || next.Approval.ID == first.Approval.ID {
		t.Errorf("a used approval opens another call: %+v", next)
	}
}

func TestApprovalOpensNoOtherCall(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer", "delete")
	decide(t, h, call("transfer", `{"to":"Bob"}`))
	d.Decide("approved")
	for _, other := range []hold.Call{
		call("transfer", `{"to":"Eve"}`), call("delete", `{"to":"Bob"}`),
		{Person: client.Person{Customer: "another"}, Skill: "transfer", Arguments: json.RawMessage(`{"to":"Bob"}`)},
	} {
		if got := decide(t, h, other); got.Run {
			t.Errorf("%+v runs: %+v", other, got)
		}
	}
}

func TestSessionOpensFurtherCalls(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("session", "statement", "balance")
	waiting := decide(t, h, call("statement", `{"account":"1"}`))
	if arguments := d.Approvals()[0].Arguments; arguments != "{}" {
		t.Errorf("the arguments %s were sent for a session", arguments)
	}
	d.Decide("approved")
	run, err := h.Await(t.Context(), call("statement", `{"account":"1"}`), waiting.Approval)
	if err != nil || !run.Run || run.Arguments != "" || run.Receipt.Reveal() != "" {
		t.Fatalf("%+v, %v", run, err)
	}
	if got := decide(t, h, call("balance", `{}`)); !got.Run || got.Reason != client.ReasonSessionActive {
		t.Errorf("%+v", got)
	}
	other := call("balance", `{}`)
	other.Person.Customer = "another"
	if got := decide(t, h, other); got.Run {
		t.Errorf("the session opens the call of another person: %+v", got)
	}
}

func TestDeniedCallDoesNotRun(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer")
	decide(t, h, call("transfer", `{}`))
	d.Decide("denied")
	got, err := h.Decide(t.Context(), call("transfer", `{}`))
	if !errors.Is(err, client.Denied) || got.Run || !strings.HasPrefix(hold.Explain(err), hold.NotExecuted+"The person denied") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer")
	waiting := decide(t, h, call("transfer", `{}`))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := h.Await(ctx, call("transfer", `{}`), waiting.Approval)
	if err != nil || got.Run || !got.Waiting || got.Approval.ID != waiting.Approval.ID || d.Approvals()[0].Status != "pending" {
		t.Errorf("%+v, %v", got, err)
	}
}

// A model can repeat a call. Countersign must not get one request for each call that waits.
func TestCallsThatWaitForOneApprovalShareARequest(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer")
	c := call("transfer", `{}`)
	waiting := decide(t, h, c).Approval
	polls := make(chan string, 100) // how each request to wait ended
	d.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("wait") != "50" {
			return false
		}
		polls <- "began"
		<-r.Context().Done()
		polls <- "ended"
		return true
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan hold.Decision)
	for range 50 {
		go func() {
			decision, _ := h.Await(ctx, c, waiting)
			ended <- decision
		}()
	}
	if got := <-polls; got != "began" {
		t.Fatal(got)
	}
	short, cancelShort := context.WithCancel(t.Context())
	cancelShort()
	if got, err := h.Await(short, c, waiting); err != nil || !got.Waiting {
		t.Errorf("%+v, %v", got, err)
	}
	if len(polls) != 0 {
		t.Error("the request ended with one of the calls, or there is another one")
	}
	cancel()
	for range 50 {
		if got := <-ended; !got.Waiting {
			t.Errorf("%+v", got)
		}
	}
	if got := <-polls; got != "ended" {
		t.Errorf("after all calls, a request %s", got)
	}
	d.Intercept(nil)
	d.Decide("approved")
	if got, err := h.Await(t.Context(), c, waiting); err != nil || !got.Run {
		t.Errorf("after the approval: %+v, %v", got, err)
	}
}

func TestInvalidAnswersOpenNothing(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	for _, body := range []string{"", "{}", "null", "[]", `{"required":false}`, `{"required":false,"reason":"pin_needed"}`, `{"required":false,"reason":"new"}`, `{"required":"no"}`, "<html>"} {
		d.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.Write([]byte(body)); return true })
		if got, err := h.Decide(t.Context(), call("read", `{}`)); err == nil || got.Run {
			t.Errorf("the answer %q: %+v", body, got)
		}
	}
}

func TestSealedState(t *testing.T) {
	t.Parallel()
	s, err := hold.NewSealer(client.NewSecret("csp_canary"))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := hold.NewSealer(client.NewSecret("csp_other"))
	text, err := s.Seal("state", map[string]string{"approval": "a"}, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := s.Open("state", text, &got); err != nil || got["approval"] != "a" {
		t.Errorf("%v, %v", got, err)
	}
	old, _ := s.Seal("state", "x", time.Now().Add(-time.Second))
	for name, try := range map[string]func() error{
		"another purpose": func() error { return s.Open("session", text, &got) },
		"another key":     func() error { return other.Open("state", text, &got) },
		"changed":         func() error { return s.Open("state", "A"+text[1:], &got) },
		"longer":          func() error { return s.Open("state", text+"=", &got) },
		"with a line end": func() error { return s.Open("state", text+"\n", &got) },
		"empty":           func() error { return s.Open("state", "", &got) },
		"too old":         func() error { return s.Open("state", old, &got) },
	} {
		if err := try(); !errors.Is(err, hold.ErrNotSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
