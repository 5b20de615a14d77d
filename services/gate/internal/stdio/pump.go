package stdio

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
)

const (
	// maxRefusals limits the refusals that wait for the client. If it does not read them, the gate stops reading from it.
	maxRefusals = 64
	// maxEchoedID is the longest id that a refusal repeats, in bytes.
	maxEchoedID = 1 << 10
)

// pump passes the messages of one client and one server.
type pump struct {
	settings Settings
	judge    gate.Judge
	server   *output
	client   *output
	requests *requests
	refusals chan struct{} // one element for each refusal that waits for the client

	mu     sync.Mutex
	caller gate.Caller
}

func newPump(s Settings, judge gate.Judge, server, client io.Writer) *pump {
	return &pump{
		settings: s, judge: judge, server: &output{w: server}, client: &output{w: client}, caller: gate.Caller{Person: s.Person},
		requests: newRequests(4 * s.MaxMessage), refusals: make(chan struct{}, maxRefusals),
	}
}

// fromClient passes the messages of the client until its end, or until the server does not take messages any more.
func (p *pump) fromClient(stdin io.Reader) error {
	in := bufio.NewReaderSize(stdin, bufferSize)
	limit := func() int { return p.settings.MaxMessage + len("\r\n") }
	for {
		line, whole, err := readLine(in, limit)
		raw := withoutEnd(line)
		switch {
		case err == nil && !whole || len(raw) > p.settings.MaxMessage:
			p.refuse(&message.Refusal{Code: message.CodeInvalidRequest, Reason: "the message is too long"}, true)
			if !whole && err == nil {
				err = copyLine(in, io.Discard)
			}
		case err != nil && len(line) > 0: // the client may have ended in the middle of a message
			p.refuse(&message.Refusal{Code: message.CodeInvalidRequest, Reason: "the message has no line feed at its end"}, true)
		case err == nil && len(raw) > 0:
			err = p.message(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// message decides what happens with one line of the client. The error is that the server does not take messages.
func (p *pump) message(line []byte) error {
	m, err := message.Parse(withoutEnd(line))
	var refusal *message.Refusal
	switch {
	case errors.As(err, &refusal):
		p.refuse(refusal, true)
	case hidesMessage(m.Raw):
		refusal = &message.Refusal{Code: message.CodeInvalidRequest, Reason: "a text in the message contains a line separator and then { or ["}
		if m.IsRequest() {
			refusal.ID = m.ID
		}
		p.refuse(refusal, !m.IsNotification())
	case m.IsResponse() && p.judge.Deliver(p.sender(), m):
	case m.IsRequest() && p.requests.inGate(m.ID):
		// The answer has no id, because the client would take it for the answer to the other request.
		p.refuse(&message.Refusal{Code: message.CodeInvalidRequest, Reason: "a request with this id is not answered yet"}, true)
	case m.Method == message.ToolsCall:
		p.toolsCall(m, line)
	case m.Method == "notifications/cancelled" && p.requests.cancel(member(m.Params, "requestId")):
	default:
		p.observe(m)
		return p.server.line(line)
	}
	return nil
}

// toolsCall starts the judgement of a call.
func (p *pump) toolsCall(m message.Message, line []byte) {
	call, err := m.Call()
	var refusal *message.Refusal
	if errors.As(err, &refusal) {
		p.refuse(refusal, m.IsRequest())
		return
	}
	from := p.sender()
	refused := p.requests.judge(m.ID, len(line), func(j *judgement) { p.decide(j, from, call, line[len(m.Raw):]) })
	if refused != "" {
		p.refuse(&message.Refusal{Code: message.CodeRefused, Reason: hold.NotExecuted + refused, ID: m.ID}, true)
	}
}

// decide waits for the verdict about a call and does what it says. end is the end of the call's line.
func (p *pump) decide(j *judgement, from gate.Caller, call message.Call, end []byte) {
	verdict := p.judge.Judge(j.ctx, from, call, p.client)
	switch {
	case errors.Is(context.Cause(j.ctx), errEnding) && verdict.Answer == nil:
		verdict = gate.Verdict{Answer: message.Error(call.ID, message.CodeRefused, hold.NotExecuted+"The MCP server has ended, or the gate ends.")}
	case verdict.Forward == nil && verdict.Answer == nil:
		verdict.Answer = message.Error(call.ID, message.CodeRefused, hold.NotExecuted+"There is no decision about this call.")
	}
	if verdict.Forward != nil && p.forward(j, call, verdict, end) == nil {
		return
	}
	if verdict.Forward != nil {
		verdict.Answer = message.Error(call.ID, message.CodeRefused, "The MCP server has ended.")
	} else if !p.requests.leave(j) {
		return
	}
	p.client.Send(verdict.Answer) //nolint:errcheck // the client is gone; fromServer or fromClient notices it
}

// forward sends a call to the server, unless it was cancelled.
func (p *pump) forward(j *judgement, call message.Call, verdict gate.Verdict, end []byte) error {
	if !bytes.Equal(verdict.Forward, call.Raw) && hidesMessage(verdict.Forward) {
		verdict.Forward = message.OneLine(verdict.Forward)
	}
	// The lock makes sure that a cancellation, which passes when the call has left, reaches the server after the call.
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	if !p.requests.leave(j) {
		return nil
	}
	if unique := p.requests.sent(call.ID); unique && verdict.Response != nil {
		p.requests.await(call.ID, awaited{call: true, response: func(m message.Message) []byte { return verdict.Response(m.Raw) }})
	}
	return p.server.write(append(bytes.Clone(verdict.Forward), end...))
}

// refuse reports a refusal, and answers it unless the message is a notification.
func (p *pump) refuse(r *message.Refusal, answer bool) {
	p.settings.Log.Warn("a message of the client was refused", "code", r.Code, "reason", r.Reason)
	if p.settings.Refused != nil {
		p.settings.Refused(r)
	}
	if !answer {
		return
	}
	if len(r.ID) > maxEchoedID {
		r.ID = nil
	}
	p.refusals <- struct{}{}
	started := p.requests.start(func() {
		p.client.Send(r.Answer()) //nolint:errcheck // the client is gone; fromServer or fromClient notices it
		<-p.refusals
	})
	if !started {
		<-p.refusals
	}
}

func (p *pump) sender() gate.Caller {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.caller
}
