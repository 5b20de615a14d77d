package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/message"
)

const canary = "argument-canary"

// start returns a gate in front of a double of Countersign. Its logs must contain no secret.
func start(t *testing.T, change ...func(*Config)) (*clienttest.Countersign, *Gate) {
	t.Helper()
	d := clienttest.New(t)
	d.Mode("approval", "transfer")
	d.Mode("session", "balance")
	return d, another(t, d, change...)
}

// another returns another gate with the same Countersign and the same proxy key.
func another(t *testing.T, d *clienttest.Countersign, change ...func(*Config)) *Gate {
	t.Helper()
	key := client.NewSecret(clienttest.ProxyKey)
	c, err := client.New(client.Config{URL: d.URL, Instance: clienttest.Instance, ProxyKey: key})
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := hold.NewSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	log := &logged{}
	config := Config{
		Holder: hold.New(c, nil), Sealer: sealer, Wait: time.Minute, Log: slog.New(slog.NewJSONHandler(log, nil)),
		Metrics: NewMetrics(prometheus.NewRegistry()),
	}
	for _, f := range change {
		f(&config)
	}
	t.Cleanup(func() {
		for _, secret := range []string{canary, "canary", clienttest.Link, "cst1."} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log contains %q:\n%s", secret, log)
			}
		}
	})
	return New(config)
}

type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(text)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

// receiver is a Client that can receive messages. The zero value cannot.
type receiver struct{ sent chan message.Message }

func newReceiver() receiver { return receiver{make(chan message.Message, 1000)} }

func (r receiver) CanReceive() bool { return r.sent != nil }

func (r receiver) Send(raw []byte) error {
	m, err := message.Parse(raw)
	if err != nil {
		return err
	}
	r.sent <- m
	return nil
}

var person = Caller{Person: client.Person{Customer: clienttest.Customer}}

// call returns a call. more is added to params.
func call(t *testing.T, tool, arguments string, more ...string) message.Call {
	t.Helper()
	m, err := message.Parse(fmt.Appendf(nil, `{"jsonrpc":"2.0", "id":"c1","method":"tools/call","params":{"name":%q,"arguments":%s%s}}`, tool, arguments, strings.Join(more, "")))
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Call()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// transfer is a protected call.
func transfer(t *testing.T, more ...string) message.Call {
	return call(t, "transfer", `{"to": "`+canary+`", "amount": 1.0}`, more...)
}

const transferred = `{"amount":1,"to":"` + canary + `"}`

// answer is what the tests read of an answer.
type answer struct {
	ID     string
	Result struct {
		Content       []struct{ Text string }
		IsError       bool
		ResultType    string
		RequestState  string
		InputRequests map[string]struct {
			Method string
			Params map[string]string
		}
	}
	Error *struct {
		Code    int
		Message string
	}
}

func (a answer) text() string {
	if len(a.Result.Content) == 0 {
		return ""
	}
	return a.Result.Content[0].Text
}

func read(t *testing.T, v Verdict) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal(v.Answer, &a); err != nil || v.Forward != nil {
		t.Fatalf("the verdict is no answer: %s, forward %s", v.Answer, v.Forward)
	}
	if a.ID != "c1" {
		t.Errorf("the answer has the id %q", a.ID)
	}
	return a
}

// executed checks that a verdict runs the transfer with its receipt.
func executed(t *testing.T, d *clienttest.Countersign, v Verdict) message.Call {
	t.Helper()
	m, err := message.Parse(v.Forward)
	if err != nil {
		t.Fatalf("the call is not forwarded: %s", v.Answer)
	}
	c, err := m.Call()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, a := range d.Approvals() {
		used[a.Proof] = a.Status == "used"
	}
	var params struct {
		Meta map[string]any `json:"_meta"`
	}
	if err := json.Unmarshal(m.Params, &params); err != nil {
		t.Fatal(err)
	}
	receipt, _ := params.Meta[message.Receipt].(string)
	if c.Tool != "transfer" || string(c.Arguments) != transferred || !used[receipt] {
		t.Errorf("forwarded %s with the receipt %q", v.Forward, receipt)
	}
	return c
}

// polled returns a channel that gets a value whenever a call starts to wait for the person.
func polled(d *clienttest.Countersign) <-chan struct{} {
	waits := make(chan struct{}, 1000)
	d.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if wait := r.URL.Query().Get("wait"); wait != "" && wait != "0" {
			waits <- struct{}{}
		}
		return false
	})
	return waits
}

// receive returns the next value. A test that waits in vain fails.
func receive[V any](t *testing.T, from <-chan V) V {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was received")
		panic("unreachable")
	}
}

// judge runs Judge in the background.
func judge(ctx context.Context, g *Gate, from Caller, c message.Call, to Client) <-chan Verdict {
	verdicts := make(chan Verdict, 1)
	go func() { verdicts <- g.Judge(ctx, from, c, to) }()
	return verdicts
}

func counted(g *Gate, decision string) float64 {
	return testutil.ToFloat64(g.Metrics.calls.WithLabelValues(decision))
}

func TestOpenCallPassesUnchanged(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	c := call(t, "read", `{ "a" : 1.0 }`, `,"_meta":{"countersign/receipt":"of the client"},"requestState":"of the server"`)
	v := g.Judge(t.Context(), person, c, receiver{})
	if !bytes.Equal(v.Forward, c.Raw) || v.Response != nil || len(d.Requests()) != 1 || counted(g, "open") != 1 {
		t.Errorf("forwarded %s after %q", v.Forward, d.Requests())
	}
}

func TestTextGivesTheLinkAndTheNextCallRunsOnce(t *testing.T) {
	t.Parallel()
	var approved []string
	d, g := start(t, func(c *Config) { c.Approved = func(tool string) { approved = append(approved, tool) } })
	first := read(t, g.Judge(t.Context(), person, transfer(t), newReceiver()))
	if !first.Result.IsError || !strings.HasPrefix(first.text(), hold.NotExecuted) || !strings.Contains(first.text(), clienttest.Link) || first.Result.ResultType != "" {
		t.Fatalf("%+v", first)
	}
	d.Decide("approved")
	executed(t, d, g.Judge(t.Context(), person, transfer(t, `,"_meta":{"countersign/receipt":"forged","a":1}`), receiver{}))
	next := read(t, g.Judge(t.Context(), person, transfer(t), receiver{}))
	if len(d.Approvals()) != 2 || next.text() == first.text() || len(approved) != 1 || approved[0] != "transfer" {
		t.Errorf("%+v, approved %q", next, approved)
	}
	if counted(g, "approved") != 1 || counted(g, "pending") != 2 {
		t.Error("the decisions are not counted")
	}
}

func TestSameCallAgainWaits(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	read(t, g.Judge(t.Context(), person, transfer(t), receiver{}))
	waits := polled(d)
	second := judge(t.Context(), g, person, transfer(t), receiver{})
	receive(t, waits)
	d.Decide("approved")
	executed(t, d, receive(t, second))
}

func TestCallIsAnsweredWithTheLinkWhenTheWaitEnds(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]time.Duration{"no wait": 0, "short wait": time.Millisecond} {
		d, g := start(t, func(c *Config) { c.Wait = wait })
		first := read(t, g.Judge(t.Context(), person, transfer(t), receiver{}))
		again := read(t, g.Judge(t.Context(), person, transfer(t), receiver{}))
		if first.text() != again.text() || len(d.Approvals()) != 1 {
			t.Errorf("%s: %q, then %q", name, first.text(), again.text())
		}
	}
}

func TestParallelIdenticalCallsNeedTwoApprovals(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	token := `,"_meta":{"progressToken":"p"}`
	waits := polled(d)
	to, and := newReceiver(), newReceiver()
	one, two := judge(t.Context(), g, person, transfer(t, token), to), judge(t.Context(), g, person, transfer(t, token), and)
	receive(t, to.sent)
	receive(t, and.sent)
	receive(t, waits) // the calls share a request
	d.Decide("approved")
	var left <-chan Verdict
	select {
	case v := <-one:
		executed(t, d, v)
		left = two
	case v := <-two:
		executed(t, d, v)
		left = one
	}
	receive(t, waits)
	d.Decide("approved")
	executed(t, d, receive(t, left))
	if approvals := d.Approvals(); len(approvals) != 2 || approvals[0].Status != "used" || approvals[1].Status != "used" {
		t.Errorf("%+v", approvals)
	}
}

func TestSessionCallRunsAsSent(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	c := call(t, "balance", `{"a": "`+canary+`", "n": 1e400}`)
	read(t, g.Judge(t.Context(), person, c, receiver{}))
	d.Decide("approved")
	for range 2 {
		if v := g.Judge(t.Context(), person, c, receiver{}); !bytes.Equal(v.Forward, c.Raw) || v.Response != nil {
			t.Fatalf("forwarded %s, answered %s", v.Forward, v.Answer)
		}
	}
	if a := d.Approvals(); len(a) != 1 || a[0].Arguments != "{}" || counted(g, "session") != 2 {
		t.Errorf("%+v", a)
	}
	other := Caller{Person: client.Person{Customer: "another"}}
	read(t, g.Judge(t.Context(), other, c, receiver{}))
}

func TestCallThatMustNotRun(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	read(t, g.Judge(t.Context(), person, transfer(t), receiver{}))
	d.Decide("denied")
	if a := read(t, g.Judge(t.Context(), person, transfer(t), receiver{})); !a.Result.IsError || !strings.HasPrefix(a.text(), hold.NotExecuted+"The person denied") || counted(g, "denied") != 1 {
		t.Errorf("denied: %+v", a)
	}
	if a := read(t, g.Judge(t.Context(), person, call(t, "transfer", `{"`+canary+`":1e400}`), receiver{})); !strings.Contains(a.text(), "cannot be approved: arguments."+canary) || counted(g, "refused") != 1 {
		t.Errorf("arguments without a canonical form: %+v", a)
	}
	d.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusTeapot); return true })
	if a := read(t, g.Judge(t.Context(), person, call(t, "read", `{}`), receiver{})); !a.Result.IsError || counted(g, "refused") != 2 {
		t.Errorf("refused: %+v", a)
	}
	for _, body := range []string{"", "{}", `{"required":false}`, `{"required":false,"reason":"new"}`, "<html>"} {
		d.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.Write([]byte(body)); return true })
		if a := read(t, g.Judge(t.Context(), person, call(t, "read", `{}`), receiver{})); !strings.Contains(a.text(), "cannot be reached") {
			t.Errorf("the answer %q: %+v", body, a)
		}
	}
	if counted(g, "unavailable") != 5 || counted(g, "open") != 0 {
		t.Error("the decisions are not counted")
	}
}

// The log is searched when the test ends.
func TestRefusedArgumentsAreNotLogged(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	d.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/approvals") {
			return false
		}
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprintf(w, `{"detail":[{"loc":["body","arguments",%q],"msg":"This member is not in the schema"}]}`, canary)
		return true
	})
	if a := read(t, g.Judge(t.Context(), person, transfer(t), receiver{})); !strings.Contains(a.text(), canary) || counted(g, "refused") != 1 {
		t.Errorf("%+v", a)
	}
}

func TestCallDoesNotWaitForACountersignThatHangs(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	g.decideTime = 50 * time.Millisecond
	d.Intercept(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	a := read(t, receive(t, judge(t.Context(), g, person, call(t, "read", `{}`), receiver{})))
	if !a.Result.IsError || !strings.Contains(a.text(), "cannot be reached") || counted(g, "unavailable") != 1 {
		t.Errorf("%+v", a)
	}
}

func TestClientThatExpectsATaskGetsAnError(t *testing.T) {
	t.Parallel()
	_, g := start(t)
	a := read(t, g.Judge(t.Context(), person, transfer(t, `,"task":{"ttl":1}`), receiver{}))
	if a.Error == nil || a.Error.Code != message.CodeRefused || !strings.Contains(a.Error.Message, clienttest.Link) || a.Result.IsError {
		t.Errorf("%+v", a)
	}
}

func TestModernTextIsComplete(t *testing.T) {
	t.Parallel()
	_, g := start(t)
	a := read(t, g.Judge(t.Context(), person, transfer(t, modern("{}")), receiver{}))
	if a.Result.ResultType != "complete" || !a.Result.IsError || a.Result.InputRequests != nil {
		t.Errorf("%+v", a)
	}
}

func TestCancelledCallGetsNothing(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	waits, to := polled(d), newReceiver()
	from := person
	from.Version, from.URLElicitation = withURLElicitation, true
	verdict := judge(ctx, g, from, transfer(t, `,"_meta":{"progressToken":"p"}`), to)
	receive(t, waits)
	receive(t, to.sent)
	cancel()
	if v := receive(t, verdict); v.Forward != nil || v.Answer != nil || counted(g, "cancelled") != 1 {
		t.Errorf("forwarded %s, answered %s", v.Forward, v.Answer)
	}
	if len(to.sent) != 0 {
		t.Errorf("the client got %s after it cancelled", receive(t, to.sent).Raw)
	}
	if d.Approvals()[0].Status != "pending" {
		t.Error("the approval did not stay")
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	if v := g.Judge(ended, person, call(t, "read", `{}`), receiver{}); v.Forward != nil || v.Answer != nil {
		t.Errorf("forwarded %s, answered %s", v.Forward, v.Answer)
	}
}

func TestProgressHasTheLinkAndIncreases(t *testing.T) {
	t.Parallel()
	d, g := start(t)
	g.progressPause = time.Millisecond
	to := newReceiver()
	verdict := judge(t.Context(), g, person, transfer(t, `,"_meta":{"progressToken":7}`), to)
	last := -1.0
	for range 5 {
		var p struct {
			ProgressToken int
			Progress      float64
			Message       string
		}
		m := receive(t, to.sent)
		if err := json.Unmarshal(m.Params, &p); err != nil || m.Method != "notifications/progress" || p.ProgressToken != 7 || p.Progress <= last || p.Progress >= 0 || !strings.Contains(p.Message, clienttest.Link) {
			t.Fatalf("%s after %v", m.Raw, last)
		}
		last = p.Progress
	}
	d.Decide("approved")
	executed(t, d, receive(t, verdict))
}

func TestSettingsAndClientLimitTheLadder(t *testing.T) {
	t.Parallel()
	legacy := person
	legacy.Version, legacy.URLElicitation = withURLElicitation, true
	old, without := legacy, legacy
	old.Version, without.URLElicitation = "2025-06-18", false
	token := `,"_meta":{"progressToken":7}`
	url := modern(`{"elicitation":{"url":{}}}`)
	for name, test := range map[string]struct {
		best Step
		from Caller
		more string
		to   Client
		want []Step
	}{
		"all":                        {Elicitation, legacy, token, newReceiver(), []Step{Elicitation, Progress}},
		"no progress token":          {Elicitation, legacy, "", newReceiver(), []Step{Elicitation}},
		"best step progress":         {Progress, legacy, token, newReceiver(), []Step{Progress}},
		"best step text":             {Text, legacy, token, newReceiver(), nil},
		"client cannot receive":      {Elicitation, legacy, token, receiver{}, nil},
		"older version":              {Elicitation, old, token, newReceiver(), []Step{Progress}},
		"no capability":              {Elicitation, without, token, newReceiver(), []Step{Progress}},
		"modern without capability":  {Elicitation, legacy, modern("{}"), newReceiver(), nil},
		"modern":                     {Elicitation, person, url, newReceiver(), nil},
		"modern, best step progress": {Progress, person, url, newReceiver(), nil},
	} {
		_, g := start(t, func(c *Config) { c.BestStep = test.best })
		if got := g.steps(&request{from: test.from, to: test.to, call: transfer(t, test.more)}); fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: %v, expected %v", name, got, test.want)
		}
	}
	for name, want := range map[string]Step{"elicitation": Elicitation, "progress": Progress, "text": Text} {
		if got, err := ParseStep(name); got != want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ParseStep("Text"); err == nil {
		t.Error("an unknown step is accepted")
	}
}

// modern returns the _meta of a call of MCP 2026-07-28.
func modern(capabilities string) string {
	return `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":` + capabilities + `}`
}
