package gate

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client/clienttest"
)

const (
	// most is the most resident memory that a gate may use, in KiB.
	most = 30 << 10
	// mostWaiting is the same with 1,000 calls that wait for people. Each of them has a connection to Countersign.
	mostWaiting = 100 << 10
)

// memory returns the resident memory of a process now and at its highest, in KiB.
func memory(t testing.TB, pid int) (now, highest int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		switch fields[0] {
		case "VmRSS:":
			now, err = strconv.Atoi(fields[1])
		case "VmHWM:":
			highest, err = strconv.Atoi(fields[1])
		}
		must(t, err)
	}
	if now == 0 {
		t.Fatalf("the memory of the process %d is not known", pid)
	}
	return now, highest
}

// supervisor returns the process between a gate and its server.
func supervisor(t testing.TB, r *record) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", recorded(t, r, 1)[0]))
	must(t, err)
	_, after, _ := strings.Cut(string(stat), ") ")
	pid, err := strconv.Atoi(strings.Fields(after)[1])
	must(t, err)
	return pid
}

func (p *process) checkMemory(when string, most int) {
	p.t.Helper()
	now, highest := memory(p.t, p.PID())
	p.t.Logf("%s: %.1f MiB, highest %.1f MiB", when, float64(now)/1024, float64(highest)/1024)
	if now > most {
		p.t.Errorf("%s: the gate uses %d KiB, and may use %d KiB", when, now, most)
	}
}

// TestMemoryOfOpenCalls checks the memory after 10,000 calls, and after 1,000 calls that are at the server at the same time.
func TestMemoryOfOpenCalls(t *testing.T) {
	t.Parallel()
	d, r := newCountersign(t), newRecord(t)
	p := startStdioGate(t, d, r, nil)
	p.answers(request(`"method":"tools/list"`), true)
	p.checkMemory("idle", most)
	for batch := range 100 {
		for i := range 100 {
			p.write(toolCall(fmt.Sprintf("%d-%d", batch, i), "get-sum", `{"a":1,"b":2}`) + "\n")
		}
		for range 100 {
			p.next()
		}
	}
	p.checkMemory("after 10,000 calls", most)
	for i := range 1000 { // the server answers when it has all of them
		p.write(toolCall(fmt.Sprintf("open-%d", i), "together", `{"group":"a","count":1000}`) + "\n")
	}
	for range 1000 {
		if answer := p.next(); kind(t, answer, true) != ran {
			t.Fatalf("an open call got %s", answer)
		}
	}
	p.checkMemory("after 1,000 calls in flight", most)
	now, _ := memory(t, supervisor(t, r))
	t.Logf("its supervisor: %.1f MiB", float64(now)/1024)
}

// TestMemoryOfCallsThatWait checks the memory with 100 and with 1,000 calls that wait for the person. All of them run in the end.
func TestMemoryOfCallsThatWait(t *testing.T) {
	t.Parallel()
	d, r := newCountersign(t), newRecord(t)
	p := startStdioGate(t, d, r, []string{"--wait", "2m"})
	waiting := map[string]bool{}
	wait := func(calls int) {
		for i := len(waiting); i < calls; i++ {
			p.write(fill(params(fmt.Sprintf(`"name":"transfer","arguments":{"to":"person %d"},"_meta":{"progressToken":%d}`, i, i))) + "\n")
		}
		for len(waiting) < calls {
			line := p.next()
			_, link, found := strings.Cut(line, clienttest.Link)
			if !found {
				t.Fatalf("a protected call got %s", line)
			}
			waiting[link[:26]] = true
		}
	}
	wait(100)
	p.checkMemory("with 100 calls that wait", most)
	wait(1000)
	p.checkMemory("with 1,000 calls that wait", mostWaiting)
	d.Decide("approved")
	for left := 1000; left > 0; {
		if line := p.next(); isAnswer(line) {
			left--
			if kind(t, line, true) != ran {
				t.Fatalf("an approved call got %s", line)
			}
		}
	}
	if calls := unapproved(r.all(t), d.Approvals()); len(calls) > 0 {
		t.Errorf("without their receipt ran: %d calls, first %v", len(calls), calls[0])
	}
}

// BenchmarkOpenCall compares open calls through the gate with calls of the same server without it, in turns. COUNTERSIGN_URL,
// COUNTERSIGN_INSTANCE, COUNTERSIGN_PROXY_KEY and COUNTERSIGN_CUSTOMER replace the double by a real Countersign.
func BenchmarkOpenCall(b *testing.B) {
	d := clienttest.New(b)
	environment := gateEnvironment(d)
	if os.Getenv("COUNTERSIGN_PROXY_KEY") != "" {
		environment = os.Environ()
	}
	direct := startProcess(b, nil, recorderBinary(b))
	gate := startProcess(b, environment, gateBinary(b), "--", recorderBinary(b))
	for i := range 100 { // connections are open and programs are in memory
		direct.call(fmt.Sprintf("d-%d", i), "get-sum", `{"a":1,"b":2}`)
		gate.call(fmt.Sprintf("g-%d", i), "get-sum", `{"a":1,"b":2}`)
	}
	var without, with []time.Duration
	for i := 0; b.Loop(); i++ {
		begin := time.Now()
		direct.call(fmt.Sprintf("direct-%d", i), "get-sum", `{"a":1,"b":2}`)
		middle := time.Now()
		if answer := gate.call(fmt.Sprintf("gate-%d", i), "get-sum", `{"a":1,"b":2}`); kind(b, answer, true) != ran {
			b.Fatalf("an open call got %s", answer)
		}
		without, with = append(without, middle.Sub(begin)), append(with, time.Since(middle))
	}
	b.ReportMetric(percentile(without, 50), "direct-p50-µs")
	b.ReportMetric(percentile(with, 50)-percentile(without, 50), "added-p50-µs")
	b.ReportMetric(percentile(with, 99)-percentile(without, 99), "added-p99-µs")
}

// percentile returns a percentile in microseconds.
func percentile(all []time.Duration, percent int) float64 {
	slices.Sort(all)
	return float64(all[len(all)*percent/100].Nanoseconds()) / 1000
}
