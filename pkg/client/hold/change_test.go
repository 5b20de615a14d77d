package hold_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/client/hold"
)

// before calls do once, before the next request whose method and path end in this way.
func before(d *clienttest.Countersign, method, path string, do func()) {
	var once sync.Once
	d.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == method && strings.HasSuffix(r.URL.Path, path) {
			once.Do(do)
		}
		return false
	})
}

func statuses(d *clienttest.Countersign) string {
	var all []string
	for _, a := range d.Approvals() {
		all = append(all, a.Grants+" "+a.Status)
	}
	return strings.Join(all, ", ")
}

func TestPolicyChangesBetweenCheckAndAsk(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, from, to, run, statuses string }{
		{"to approval: the person is asked about the arguments", "session", "approval", "no", "action cancelled, action pending"},
		{"to session: the person is asked for a session", "approval", "session", "no", "session cancelled, session pending"},
		{"session to open", "session", "open", "yes", ""},
		{"approval to open", "approval", "open", "yes", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d, h := start(t)
			d.Mode(test.from, "transfer")
			before(d, http.MethodPost, "/approvals", func() { d.Mode(test.to, "transfer") })
			got := decide(t, h, call("transfer", `{"to":"Bob"}`))
			if got.Run != (test.run == "yes") || statuses(d) != test.statuses {
				t.Errorf("%+v, approvals: %s", got, statuses(d))
			}
			if last := d.Approvals(); got.Waiting && (got.Approval.ID != last[1].ID || test.to == "session" && last[1].Arguments != "{}") {
				t.Errorf("waits for %s, approvals %+v", got.Approval.ID, last)
			}
		})
	}
}

func TestPolicyThatAlwaysChangesOpensNothing(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/check-required") {
			d.Mode("session", "transfer")
		} else {
			d.Mode("approval", "transfer")
		}
		return false
	})
	got, err := h.Decide(t.Context(), call("transfer", `{"to":"Bob"}`))
	if err == nil || got.Run || got.Waiting || strings.Contains(statuses(d), "pending") {
		t.Errorf("%+v, %v, approvals: %s", got, err, statuses(d))
	}
}

// A session that was given when the policy wanted a session opens no call that needs an approval now.
func TestSessionOpensNoCallThatNeedsAnApprovalNow(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(*hold.Holder, hold.Call, client.Approval) (hold.Decision, error){
		"Await": func(h *hold.Holder, c hold.Call, a client.Approval) (hold.Decision, error) {
			return h.Await(t.Context(), c, a)
		},
		"Decide": func(h *hold.Holder, c hold.Call, _ client.Approval) (hold.Decision, error) {
			return h.Decide(t.Context(), c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, h := start(t)
			d.Mode("session", "transfer")
			c := call("transfer", `{}`)
			waiting := decide(t, h, c)
			d.Decide("approved")
			d.Mode("approval", "transfer")
			got, err := next(h, c, waiting.Approval)
			if err != nil || got.Run || got.Approval.ID == waiting.Approval.ID {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestApprovalOfEmptyArgumentsRunsNoOtherArguments(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "delete")
	decide(t, h, call("delete", `{}`))
	d.Decide("approved")
	d.Mode("session", "delete") // the question about a session has empty arguments too
	if got := decide(t, h, call("delete", `{"all":true}`)); got.Run {
		t.Errorf("%+v", got)
	}
}

func TestAwaitOfAnApprovalOfAnotherCall(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer", "delete")
	waiting := decide(t, h, call("transfer", `{"to":"Bob"}`)).Approval
	d.Decide("approved")
	for _, other := range []hold.Call{call("delete", `{"to":"Bob"}`), call("transfer", `{"to":"Eve"}`), call("transfer", `[]`)} {
		if got, err := h.Await(t.Context(), other, waiting); err == nil || got.Run {
			t.Errorf("%s %s: %+v, %v", other.Skill, other.Arguments, got, err)
		}
	}
	if got, err := h.Await(t.Context(), call("Transfer", `{ "to": "Bob" }`), waiting); err != nil || !got.Run {
		t.Errorf("the same call: %+v, %v", got, err)
	}
}

func TestOneApprovalRunsOneOfTwoParallelCalls(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer")
	c := call("transfer", `{"to":"Bob"}`)
	waiting := decide(t, h, c).Approval
	results := make(chan hold.Decision, 8)
	for range cap(results) {
		go func() {
			got, err := h.Await(t.Context(), c, waiting)
			if err != nil {
				t.Error(err)
			}
			results <- got
		}()
	}
	d.Decide("approved")
	ran, next := 0, ""
	for range cap(results) {
		got := <-results
		switch {
		case got.Run:
			ran++
		case got.Approval.ID == waiting.ID || next != "" && got.Approval.ID != next:
			t.Errorf("waits for %s, and another one for %s", got.Approval.ID, next)
		default:
			next = got.Approval.ID
		}
	}
	if ran != 1 || statuses(d) != "action used, action pending" {
		t.Errorf("%d calls ran, approvals: %s", ran, statuses(d))
	}
	if got := decide(t, h, c); got.Approval.ID != next {
		t.Errorf("the next call waits for %s, not for %s", got.Approval.ID, next)
	}
}

func TestSessionOpensParallelCalls(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("session", "statement", "balance")
	first, second := call("statement", `{"a":1}`), call("statement", `{"a":2}`)
	waiting, same := decide(t, h, first).Approval, decide(t, h, second).Approval
	if waiting.ID != same.ID {
		t.Fatalf("two questions: %s", statuses(d))
	}
	results := make(chan hold.Decision, 2)
	for _, c := range []hold.Call{first, second} {
		go func() {
			got, err := h.Await(t.Context(), c, waiting)
			if err != nil {
				t.Error(err)
			}
			results <- got
		}()
	}
	d.Decide("approved")
	for range 2 {
		if got := <-results; !got.Run {
			t.Errorf("%+v", got)
		}
	}
	d.EndSessions()
	if got := decide(t, h, first); got.Run || got.Approval.ID == waiting.ID {
		t.Errorf("after the end of the session: %+v", got)
	}
}

func TestLostAnswerOfUse(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer")
	c := call("transfer", `{}`)
	waiting := decide(t, h, c)
	d.Decide("approved")
	d.Lose("/use", 1)
	if got := decide(t, h, c); !got.Run || got.Receipt.Reveal() != "receipt.canary."+waiting.Approval.ID {
		t.Errorf("%+v", got)
	}
}

// The approval was used, but nobody knows for which call. So it opens none.
func TestAnswerOfUseThatStaysLost(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer")
	c := call("transfer", `{}`)
	waiting := decide(t, h, c)
	d.Decide("approved")
	d.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/use") {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		return false
	})
	if got, err := h.Await(t.Context(), c, waiting.Approval); err == nil || got.Run || got.Waiting {
		t.Fatalf("%+v, %v", got, err)
	}
	d.Intercept(nil)
	if got := decide(t, h, c); !got.Run { // this use id is another one, and the approval was not used
		t.Fatalf("%+v", got)
	}
	if got := decide(t, h, c); got.Run || got.Approval.ID == waiting.Approval.ID {
		t.Errorf("%+v", got)
	}
}

// ending cancels the context of the request at the end of each answer.
type ending struct{ cancel func() }

func (e ending) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		content, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		answer.Body = io.NopCloser(bytes.NewReader(content))
		e.cancel()
	}
	return answer, err
}

func TestCallThatEndedUsesNoApproval(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer")
	c := call("transfer", `{}`)
	waiting := decide(t, h, c)
	d.Decide("approved")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	other, err := client.New(client.Config{
		URL: d.URL, Instance: clienttest.Instance, ProxyKey: client.NewSecret(clienttest.ProxyKey), HTTP: &http.Client{Transport: ending{cancel}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := hold.New(other, nil).Await(ctx, c, waiting.Approval); err != nil || got.Run || statuses(d) != "action approved" {
		t.Errorf("%+v, %v, approvals: %s", got, err, statuses(d))
	}
}

func TestUsedApprovalDoesNotHideTheNextOne(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer")
	c := call("transfer", `{}`)
	first := decide(t, h, c).Approval
	d.Decide("approved")
	decide(t, h, c)
	second := decide(t, h, c).Approval
	d.Decide("approved")
	// A parallel call still waits for the first approval.
	got, err := h.Await(t.Context(), c, first)
	if err != nil || !got.Run || got.Receipt.Reveal() != "receipt.canary."+second.ID {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAnswersThatEndAnApproval(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status string
		code   client.Code
	}{{"denied", client.Denied}, {"expired", client.Expired}, {"cancelled", client.Cancelled}} {
		t.Run(test.status, func(t *testing.T) {
			t.Parallel()
			d, h := start(t)
			d.Mode("approval", "transfer")
			c := call("transfer", `{}`)
			waiting := decide(t, h, c)
			d.Decide(test.status)
			if got, err := h.Await(t.Context(), c, waiting.Approval); !errors.Is(err, test.code) || got.Run {
				t.Errorf("%+v, %v", got, err)
			}
			if got := decide(t, h, c); got.Run || got.Approval.ID == waiting.Approval.ID {
				t.Errorf("the next call: %+v", got)
			}
		})
	}
}

func TestAwaitOfAnApprovalThatDoesNotExistAsksAgain(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer")
	got, err := h.Await(t.Context(), call("transfer", `{}`), client.Approval{ID: "unknown"})
	if err != nil || got.Run || !got.Waiting || got.Approval.ID != d.Approvals()[0].ID {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCancelEndsTheApprovalAlsoAfterTheCall(t *testing.T) {
	t.Parallel()
	d, h := start(t)
	d.Mode("approval", "transfer")
	c := call("transfer", `{}`)
	waiting := decide(t, h, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Cancel(ctx, c, waiting.Approval); err != nil || statuses(d) != "action cancelled" {
		t.Errorf("%v, approvals: %s", err, statuses(d))
	}
	if got := decide(t, h, c); got.Approval.ID == waiting.Approval.ID {
		t.Errorf("%+v", got)
	}
}

func TestUseOfAnswerThatIsNotUnderstood(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"a session instead of a receipt": `{"session_token":"cst_canary","session_expires_at":"2126-01-01T00:00:00Z"}`,
		"a receipt of another action":    `{"receipt":"receipt.canary","action_hash":"abcd"}`,
		"a receipt without a hash":       `{"receipt":"receipt.canary"}`,
		"nothing":                        `{}`,
		"null":                           `null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, h := start(t)
			d.Mode("approval", "transfer")
			c := call("transfer", `{}`)
			waiting := decide(t, h, c)
			d.Decide("approved")
			d.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/use") {
					return false
				}
				w.Write([]byte(body))
				return true
			})
			if got, err := h.Await(t.Context(), c, waiting.Approval); err == nil || got.Run || strings.Contains(hold.Explain(err), "canary") {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
