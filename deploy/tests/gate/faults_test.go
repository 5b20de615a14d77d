package gate

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client/clienttest"
)

// reply answers with a status and a body.
func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func cutConnection(w http.ResponseWriter, _ *http.Request) {
	if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
		connection.Close()
	}
}

func truncated(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "500")
	_, _ = io.WriteString(w, `{"required":false,"reason":"skill_not_protected"`)
}

func endless(w http.ResponseWriter, _ *http.Request) {
	for {
		if _, err := io.WriteString(w, `{"required":false,"reason":"skill_not_protected",`+strings.Repeat(" ", 4096)); err != nil {
			return
		}
	}
}

// faults are the answers of a Countersign that is broken, and of programs that are not Countersign. None of them may open a call.
var faults = map[string]http.HandlerFunc{
	"500":                         reply(500, `{"detail":"x"}`),
	"404":                         reply(404, `{"detail":"Not Found"}`),
	"401":                         reply(401, `{"detail":"Invalid credential"}`),
	"HTML":                        reply(200, `<html><body>Sign in to the network</body></html>`),
	"nothing":                     reply(200, ``),
	"no content":                  reply(204, ``),
	"null":                        reply(200, `null`),
	"list":                        reply(200, `[]`),
	"empty object":                reply(200, `{}`),
	"wrong types":                 reply(200, `{"required":"false","reason":1,"id":7,"status":false,"receipt":{}}`),
	"not required without reason": reply(200, `{"required":false}`),
	"not required, other reason":  reply(200, `{"required":false,"reason":"approval_needed"}`),
	"required null":               reply(200, `{"required":null,"reason":"skill_not_protected"}`),
	"half a JSON object":          reply(200, `{"required":false,"reason":"skill_not_protected"`),
	"two JSON objects":            reply(200, `{"required":false,"reason":"skill_not_protected"}{}`),
	"an open answer as an error":  reply(500, `{"required":false,"reason":"skill_not_protected","status":"not_required"}`),
	"redirect": func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/elsewhere", http.StatusTemporaryRedirect)
	},
	"endless": endless,
}

// breakAt lets fault answer the requests whose path ends with this text.
func breakAt(d *clienttest.Countersign, path string, fault http.HandlerFunc) {
	d.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, path) {
			fault(w, r)
			return true
		}
		return false
	})
}

// paths end the paths of the requests that the gate needs for an approved call.
var paths = []string{"/pin/check-required", "/approvals", "/use"}

func TestBrokenCountersignOpensNothing(t *testing.T) {
	t.Parallel()
	for _, path := range paths {
		d, r := newCountersign(t), newRecord(t)
		p := startStdioGate(t, d, r, []string{"--wait", "0s"})
		for name, fault := range faults {
			arguments := `{"fault":"` + name + `"}`
			if path == "/use" { // this call has its link already, and the person approved it
				p.call("ask "+name, "transfer", arguments)
				d.Decide("approved")
			}
			breakAt(d, path, fault)
			if answer := p.call("protected "+name, "transfer", arguments); kind(t, answer, false) != held || strings.Contains(answer, clienttest.Link) {
				t.Errorf("%s, %s: a protected call got %s", path, name, answer)
			}
			if answer := p.call("open "+name, "get-sum", `{}`); path == "/pin/check-required" && kind(t, answer, false) != held {
				t.Errorf("%s, %s: an open call got %s", path, name, answer)
			}
			p.checkOtherMessages()
			d.Intercept(nil)
		}
		p.checkRecovery(d, r)
	}
}

// TestCountersignThatDoesNotAnswer has the faults that are tried again for some seconds. It waits for all of them at the same time.
func TestCountersignThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	type broken struct {
		*process
		d      *clienttest.Countersign
		r      *record
		repair func()
	}
	start := func(d *clienttest.Countersign, repair func()) broken {
		r := newRecord(t)
		return broken{startStdioGate(t, d, r, []string{"--wait", "0s"}), d, r, repair}
	}
	var all []broken
	for _, path := range paths {
		d := newCountersign(t)
		b := start(d, func() { d.Intercept(nil) })
		if path == "/use" {
			b.call("ask", "transfer", `{}`)
			d.Decide("approved")
		}
		var requests atomic.Int64
		breakAt(d, path, func(w http.ResponseWriter, r *http.Request) {
			[]http.HandlerFunc{reply(503, `{}`), truncated, cutConnection}[requests.Add(1)%3](w, r)
		})
		all = append(all, b)
	}

	silent, release := newCountersign(t), make(chan struct{})
	breakAt(silent, "", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		case <-t.Context().Done():
		}
		cutConnection(w, r)
	})
	all = append(all, start(silent, func() { silent.Intercept(nil); close(release) }))

	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	unreachable := newCountersign(t)
	unreachable.URL = "http://" + address // nothing listens there until repair
	all = append(all, start(unreachable, func() {
		listener, err := net.Listen("tcp4", address)
		must(t, err)
		server := &http.Server{Handler: unreachable}
		go server.Serve(listener)
		t.Cleanup(func() { server.Close() })
	}))

	for _, b := range all {
		b.write(toolCall("no answer", "transfer", `{}`) + "\n")
	}
	for _, b := range all {
		b.checkOtherMessages()
	}
	for i, b := range all {
		if answer := b.answerOf("no answer"); kind(t, answer, false) != held || strings.Contains(answer, clienttest.Link) {
			t.Errorf("%d: a protected call got %s", i, answer)
		}
		b.repair()
		b.checkRecovery(b.d, b.r)
	}
}

// checkOtherMessages checks that the gate passes a message that is not a call of a tool.
func (p *process) checkOtherMessages() {
	p.t.Helper()
	if answers := p.answers(fill(request(`"method":"tools/list"`)), true); len(answers) != 1 || kind(p.t, answers[0], true) != ran {
		p.t.Errorf("a message that is not a call got %s", answers)
	}
}

// checkRecovery checks that the gate works with a Countersign that works again, and that nothing ran before.
func (p *process) checkRecovery(d *clienttest.Countersign, r *record) {
	t := p.t
	t.Helper()
	if answer := p.call("recovered", "get-sum", `{}`); kind(t, answer, true) != ran {
		t.Errorf("an open call got %s", answer)
	}
	if answer := p.call("asked", "get-env", `{}`); !strings.Contains(answer, clienttest.Link) {
		t.Errorf("a protected call got %s", answer)
	}
	d.Decide("approved")
	if answer := p.call("approved", "get-env", `{}`); kind(t, answer, true) != ran {
		t.Errorf("an approved call got %s", answer)
	}
	if calls := unapproved(r.all(t), d.Approvals()); len(calls) > 0 {
		t.Errorf("without their receipt ran: %v", calls)
	}
}

// exitsWith waits for the end of a process.
func (p *process) exitsWith(code int) {
	p.t.Helper()
	select {
	case <-p.Done():
		if got := p.ExitCode(); got != code {
			p.t.Errorf("exit code %d instead of %d", got, code)
		}
	case <-time.After(patience):
		p.t.Fatal("the process does not end")
	}
}

// gone waits for the end of a process that is no child of this program.
func gone(t testing.TB, pid int) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			return
		}
		if _, after, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(after, "Z") {
			return
		}
	}
	t.Errorf("the process %d still runs", pid)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// recorded waits until n processes have recorded their ids.
func recorded(t testing.TB, r *record, n int) (pids []int) {
	t.Helper()
	seen := map[int]bool{}
	r.await(t, func(e entry) bool {
		if e.PID != 0 {
			seen[e.PID] = true
		}
		return len(seen) == n
	})
	return slices.Collect(maps.Keys(seen))
}

func TestServerDiesWhileCallsWait(t *testing.T) {
	t.Parallel()
	d, r := newCountersign(t), newRecord(t)
	p := startStdioGate(t, d, r, []string{"--wait", "10m"})
	p.write(params(`"name":"get-env","_meta":{"progressToken":"p"}`) + "\n")
	for line := p.next(); !strings.Contains(line, "notifications/progress"); line = p.next() {
	}
	p.write(toolCall("exit", "exit", `{"code":3}`) + "\n")
	if answer := p.answerOf("@ID"); kind(t, answer, false) != refused {
		t.Errorf("the call that waited got %s", answer)
	}
	p.exitsWith(3)
	d.Decide("approved")
	if calls := unapproved(r.all(t), nil); len(calls) > 0 {
		t.Errorf("a protected tool ran: %v", calls)
	}
}

// TestServerThatDoesNotEnd closes the stdin of a gate whose server ignores the end of stdin and SIGTERM.
func TestServerThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	d, r := newCountersign(t), newRecord(t)
	p := startStdioGate(t, d, r, nil, "-stubborn", "-fork")
	pids := recorded(t, r, 2)
	p.write(toolCall("hang", "hang", `{}`) + "\n")
	p.answers(request(`"method":"tools/list"`), true)
	must(t, p.in.Close())
	p.exitsWith(128 + int(syscall.SIGKILL))
	for _, pid := range pids {
		gone(t, pid)
	}
}

// TestNothingIsLeftWhenTheGateIsKilled kills the gate with SIGKILL. The server started another process, in its own session too.
func TestNothingIsLeftWhenTheGateIsKilled(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"-fork", "-daemon"} {
		d, r := newCountersign(t), newRecord(t)
		p := startStdioGate(t, d, r, nil, "-stubborn", kind)
		pids := recorded(t, r, 2)
		p.answers(request(`"method":"tools/list"`), true)
		must(t, p.Signal(syscall.SIGKILL))
		for _, pid := range pids {
			gone(t, pid)
		}
	}
}

// TestServerThatWritesToStderrWithoutEnd has a client that reads stderr slowly.
func TestServerThatWritesToStderrWithoutEnd(t *testing.T) {
	t.Parallel()
	d, r := newCountersign(t), newRecord(t)
	p := startWithSlowStderr(t, d, r)
	for i := range 200 {
		if answer := p.call(fmt.Sprintf("call-%d", i), "get-sum", `{}`); kind(t, answer, true) != ran {
			t.Fatalf("an open call got %s", answer)
		}
	}
	if answer := p.call("protected", "get-env", `{}`); kind(t, answer, false) != held {
		t.Errorf("a protected call got %s", answer)
	}
}

// TestTwoGates has two gates in front of one server. Each of many equal calls runs with its own receipt, or not at all.
func TestTwoGates(t *testing.T) {
	t.Parallel()
	d, r := newCountersign(t), newRecord(t)
	d.Answer("approved")
	upstream := startRecorder(t, r).address
	gates := []endpoint{startHTTPGate(t, d, upstream, "--wait", "20s"), startHTTPGate(t, d, upstream, "--wait", "20s")}
	const calls = 40
	answers := make(chan answer, 2*calls)
	for i := range calls {
		go func() {
			// The first call gets the link, and the second one waits. The first one runs if another one was approved at that time.
			for _, try := range []string{"a", "b"} {
				_, body := gates[i%2].post(toolCall(fmt.Sprintf("%s-%d", try, i), "transfer", `{"to":"Bob"}`))
				answers <- kind(t, body, true)
			}
		}()
	}
	total := 0
	for range 2 * calls {
		if <-answers == ran {
			total++
		}
	}
	receipts := map[string]bool{}
	for _, e := range r.all(t) {
		if e.Call != nil && e.Call.Reading == "strict" {
			receipts[e.Call.Receipt] = true
		}
	}
	if calls := unapproved(r.all(t), d.Approvals()); len(calls) > 0 {
		t.Errorf("without their own receipt ran: %v", calls)
	}
	if total < 2 || len(receipts) != total {
		t.Errorf("%d calls ran with %d receipts", total, len(receipts))
	}
}

func TestGateRestartsBetweenAskAndApprove(t *testing.T) {
	t.Parallel()
	d, r := newCountersign(t), newRecord(t)
	upstream := startRecorder(t, r).address
	first := startHTTPGate(t, d, upstream, "--wait", "0s")
	question := func(id string) string {
		return `{"jsonrpc":"2.0","id":"` + id + `","method":"tools/call","params":{"name":"transfer","arguments":{"to":"Bob"},"_meta":{` + meta + `,` + urls + `}`
	}
	_, asking := first.post(question("1") + `}}`)
	if kind(t, asking, false) != asked {
		t.Fatalf("the call got %s", asking)
	}
	_, text := first.post(toolCall("2", "transfer", `{"to":"Bob"}`))
	must(t, first.Stop(syscall.SIGTERM, patience))

	second := startHTTPGate(t, d, upstream, "--wait", "0s")
	if _, again := second.post(toolCall("3", "transfer", `{"to":"Bob"}`)); link(again) != link(text) {
		t.Errorf("after the restart, the call got another link: %s", again)
	}
	d.Decide("approved")
	_, state, _ := strings.Cut(asking, `"requestState":"`)
	state, _, _ = strings.Cut(state, `"`)
	if _, body := second.post(question("4") + `,"requestState":"` + state + `","inputResponses":{"countersign":{"action":"accept"}}}}`); kind(t, body, true) != ran {
		t.Errorf("the approved call got %s", body)
	}
	if _, body := second.post(question("5") + `,"requestState":"` + state + `","inputResponses":{"countersign":{"action":"accept"}}}}`); kind(t, body, true) == ran {
		t.Errorf("the approved call ran twice: %s", body)
	}
	if calls := unapproved(r.all(t), d.Approvals()); len(calls) > 0 || len(r.all(t)) < 3 {
		t.Errorf("without their receipt ran: %v", calls)
	}
}

// link returns the link in an answer.
func link(answer string) string {
	_, after, _ := strings.Cut(answer, clienttest.Link)
	id, _, _ := strings.Cut(after, " ")
	return id
}

// TestClientDisconnectsWhileACallWaits approves the call afterwards. It must not run without a client.
func TestClientDisconnectsWhileACallWaits(t *testing.T) {
	t.Parallel()
	t.Run("stdio", func(t *testing.T) {
		t.Parallel()
		d, r := newCountersign(t), newRecord(t)
		p := startStdioGate(t, d, r, []string{"--wait", "10m"})
		p.write(params(`"name":"get-env","_meta":{"progressToken":"p"}`) + "\n")
		for line := p.next(); !strings.Contains(line, "notifications/progress"); line = p.next() {
		}
		must(t, p.in.Close())
		p.exitsWith(0)
		d.Decide("approved")
		if calls := unapproved(r.all(t), nil); len(calls) > 0 {
			t.Errorf("a protected tool ran: %v", calls)
		}
	})
	t.Run("HTTP", func(t *testing.T) {
		t.Parallel()
		d, r := newCountersign(t), newRecord(t)
		e := startHTTPGate(t, d, startRecorder(t, r).address, "--wait", "10m")
		connection, err := net.Dial("tcp4", e.address)
		must(t, err)
		must(t, connection.SetDeadline(time.Now().Add(patience)))
		body := params(`"name":"get-env","_meta":{"progressToken":"p"}`)
		_, err = io.WriteString(connection, exchange{head: head + "Accept: text/event-stream\r\n", body: body}.bytes(e.address))
		must(t, err)
		var text strings.Builder
		for buffer := make([]byte, 1000); !strings.Contains(text.String(), "notifications/progress"); {
			n, err := connection.Read(buffer)
			must(t, err)
			text.Write(buffer[:n])
		}
		must(t, connection.Close())
		// The gate has seen the end of the connection when it ends its long poll.
		for end := time.Now().Add(patience); !e.logged(`"decision":"cancelled"`); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the gate still waits for the person")
			}
		}
		d.Decide("approved")
		if status, body := e.post(toolCall("alive", "get-sum", `{}`)); status != 200 || kind(t, body, true) != ran {
			t.Errorf("an open call got %d %s", status, body)
		}
		if calls := unapproved(r.all(t), nil); len(calls) > 0 {
			t.Errorf("a protected tool ran: %v", calls)
		}
	})
}

func (p *process) logged(text string) bool {
	log, err := os.ReadFile(p.log)
	must(p.t, err)
	return strings.Contains(string(log), text)
}
