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
	"503":                         reply(503, `{"detail":"x"}`),
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
	"truncated":      truncated,
	"endless":        endless,
	"cut connection": cutConnection,
}

// TestBrokenCountersignOpensNothing breaks Countersign at each of the gate's requests.
func TestBrokenCountersignOpensNothing(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"/pin/check-required", "/approvals", "/use"} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			d, r := newCountersign(t), newRecord(t)
			p := startStdioGate(t, d, r, []string{"--wait", "0s"})
			for name, fault := range faults {
				arguments := `{"fault":"` + name + `"}`
				if broken == "/use" { // this call has its link already, and the person approved it
					p.call("ask "+name, "transfer", arguments)
					d.Decide("approved")
				}
				d.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
					if strings.HasSuffix(r.URL.Path, broken) {
						fault(w, r)
					}
					return strings.HasSuffix(r.URL.Path, broken)
				})
				if answer := p.call("protected "+name, "transfer", arguments); kind(t, answer, false) != held || strings.Contains(answer, clienttest.Link) {
					t.Errorf("%s: a protected call got %s", name, answer)
				}
				if answer := p.call("open "+name, "get-sum", `{}`); broken == "/pin/check-required" && kind(t, answer, false) != held {
					t.Errorf("%s: an open call got %s", name, answer)
				}
				if answers := p.answers(request(`"method":"tools/list"`), true); kind(t, answers[0], true) != ran {
					t.Errorf("%s: a message that is not a call got %s", name, answers)
				}
				d.Intercept(nil)
			}
			// Countersign works again.
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
		})
	}
}

// TestUnreachableAndSilentCountersign lets the gate start without Countersign, then with one that never answers, then with a right one.
func TestUnreachableAndSilentCountersign(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	d, r := newCountersign(t), newRecord(t)
	url := d.URL
	d.URL = "http://" + address
	p := startStdioGate(t, d, r, []string{"--wait", "0s"})
	d.URL = url
	if answer := p.call("unreachable", "get-sum", `{}`); kind(t, answer, false) != held {
		t.Errorf("without Countersign, a call got %s", answer)
	}
	listener, err = net.Listen("tcp4", address)
	must(t, err)
	server := &http.Server{Handler: d}
	go server.Serve(listener)
	defer server.Close()
	release := make(chan struct{})
	d.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		<-release
		cutConnection(w, r)
		return true
	})
	p.write(toolCall("silent", "get-sum", `{}`) + "\n")
	if answers := p.answers(request(`"method":"tools/list"`), true); len(answers) != 1 || kind(t, answers[0], true) != ran {
		t.Errorf("while Countersign is silent, a message that is not a call got %s", answers)
	}
	if answer := p.answerOf("silent"); kind(t, answer, false) != held {
		t.Errorf("with a silent Countersign, a call got %s", answer)
	}
	d.Intercept(nil)
	close(release)
	if answer := p.call("recovered", "get-sum", `{}`); kind(t, answer, true) != ran {
		t.Errorf("after this, an open call got %s", answer)
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
func gone(t *testing.T, pid int) {
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
func recorded(t *testing.T, r *record, n int) (pids []int) {
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
	answers := make(chan answer, calls)
	for i := range calls {
		go func() {
			// The first call gets the link, and the second one waits.
			gates[i%2].post(toolCall(fmt.Sprintf("a-%d", i), "transfer", `{"to":"Bob"}`))
			_, body := gates[i%2].post(toolCall(fmt.Sprintf("b-%d", i), "transfer", `{"to":"Bob"}`))
			answers <- kind(t, body, true)
		}()
	}
	total := 0
	for range calls {
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
	if total == 0 || len(receipts) < total {
		t.Errorf("%d calls ran with %d receipts", total, len(receipts))
	}
	t.Logf("%d calls ran with %d receipts", total, len(receipts))
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
