package gate

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/client/clienttest"
)

// TestCorpusBreaksCarelessServers checks the corpus itself: without the gate, every attack makes a careless server run a protected
// tool, and no other message does.
func TestCorpusBreaksCarelessServers(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	p := startProcess(t, nil, recorderBinary(t), "-record", r.path)
	p.answers(`{}`, false)
	r.next(t)
	for _, m := range small(corpus, lineOnly) {
		p.answers(fill(m.text), false)
		if ran := unapproved(r.next(t), nil); (len(ran) > 0) != m.attack {
			t.Errorf("%s: attack is %v, and without the gate these calls ran: %v", m.name, m.attack, ran)
		}
	}
}

func TestCorpusOverStdioWhenNobodyApproves(t *testing.T) {
	t.Parallel()
	d, r := newCountersign(t), newRecord(t)
	p := startStdioGate(t, d, r, []string{"--wait", "0s"})
	p.checkCorpus(d, r, slices.Concat(corpus, lineOnly))
}

// TestCorpusOverStdioWhenAnotherActionIsApproved checks that the approval of one call opens none of the attacks, and still opens its own call.
func TestCorpusOverStdioWhenAnotherActionIsApproved(t *testing.T) {
	t.Parallel()
	const bob = `{"to":"Bob","amount":1.0}`
	d, r := newCountersign(t), newRecord(t)
	p := startStdioGate(t, d, r, []string{"--wait", "0s"})
	if answer := p.call("first", "transfer", bob); !strings.Contains(answer, clienttest.Link) {
		t.Fatalf("no link: %s", answer)
	}
	d.Decide("approved")
	p.checkCorpus(d, r, small(corpus, lineOnly))
	r.next(t)
	if answer := p.call("second", "transfer", bob); kind(t, answer, false) != ran {
		t.Errorf("the approved call did not run: %s", answer)
	}
	if answer := p.call("third", "transfer", bob); kind(t, answer, false) != held {
		t.Errorf("the approval opened two calls: %s", answer)
	}
	entries := r.next(t)
	calls := 0
	for _, e := range entries {
		if e.Call != nil {
			calls++
		}
	}
	if ran := unapproved(r.all(t), d.Approvals()); calls == 0 || len(ran) > 0 {
		t.Errorf("%d readings ran the approved call, and these ran without their receipt: %v", calls, ran)
	}
}

// TestCorpusOverStdioWhenEverythingIsApproved checks that each server reads exactly the call that the person approved.
func TestCorpusOverStdioWhenEverythingIsApproved(t *testing.T) {
	t.Parallel()
	d, r := newCountersign(t), newRecord(t)
	d.Answer("approved")
	p := startStdioGate(t, d, r, []string{"--wait", "5s"})
	for _, m := range small(corpus, lineOnly) {
		for range 2 { // the first call gets the link, the second one runs
			p.answers(fill(m.text), m.want != forwarded && m.want != dropped)
		}
	}
	receipts := map[string]bool{}
	for _, e := range r.all(t) {
		if e.Call != nil && e.Call.Receipt != "" {
			receipts[e.Call.Receipt] = true
		}
	}
	if calls := unapproved(r.all(t), d.Approvals()); len(calls) > 0 {
		t.Errorf("calls without their receipt: %v", calls)
	}
	if len(receipts) < 10 {
		t.Errorf("only %d approved calls ran, so this test proves too little", len(receipts))
	}
}

// checkCorpus sends messages and checks each answer and what the server got.
func (p *process) checkCorpus(d *clienttest.Countersign, r *record, messages []message) {
	t := p.t
	t.Helper()
	p.answers(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, false)
	r.next(t)
	for _, m := range messages {
		text := fill(m.text)
		answers := p.answers(text, m.want != forwarded && m.want != dropped)
		entries := r.next(t)
		checkMessage(t, m.name, m.want, text, answers, entries)
		if calls := unapproved(entries, d.Approvals()); len(calls) > 0 {
			t.Errorf("%s: a protected tool ran: %v", m.name, calls)
		}
	}
	if answer := p.call("alive", "get-sum", `{"a":1}`); kind(t, answer, true) != ran {
		t.Errorf("after the corpus, an open call got %s", answer)
	}
}

// checkMessage checks what happened with one message: the answers, and the messages that the server got apart from pings.
func checkMessage(t testing.TB, name string, want answer, text string, answers []string, entries []entry) {
	t.Helper()
	others := 0
	for _, e := range entries {
		if e.Raw != nil && !strings.Contains(e.Raw.Start, `"ping-`) {
			others++
		}
	}
	byteForByte := arrived(entries, text)
	got := dropped
	switch {
	case byteForByte && len(answers) == 0:
		got = forwarded
	case len(answers) == 1:
		got = kind(t, answers[0], byteForByte)
	case len(answers) > 1:
		t.Errorf("%s: %d answers: %.300q", name, len(answers), answers)
	}
	if wantOthers := map[bool]int{true: 1}[byteForByte]; got != want || others != wantOthers {
		t.Errorf("%s: %s instead of %s; the server got %d messages, byte for byte: %v; answers %.300q", name, got, want, others, byteForByte, answers)
	}
}

// kind returns the kind of an answer.
func kind(t testing.TB, text string, fromServer bool) answer {
	t.Helper()
	var m struct {
		Result *struct {
			ResultType string
			IsError    bool
			Content    []struct{ Text string }
		}
		Error *struct{ Code int }
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Errorf("not an answer: %.300q", text)
	}
	switch {
	case m.Error != nil && fromServer:
		return failed
	case m.Error != nil:
		return refused
	case m.Result == nil:
		return "not an answer"
	case m.Result.ResultType == "input_required":
		return asked
	case m.Result.IsError && len(m.Result.Content) == 1 && strings.HasPrefix(m.Result.Content[0].Text, "NOT EXECUTED"):
		return held
	}
	return ran
}
