package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/bearer"
	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// post handles one message of a client.
func (p *proxy) post(w http.ResponseWriter, r *http.Request, x exchange) {
	if problem := unreadable(r.Header); problem != "" {
		p.fail(w, r, http.StatusUnsupportedMediaType, nil, message.CodeInvalidRequest, problem)
		return
	}
	content := &counted{load: &p.load, from: http.MaxBytesReader(w, r.Body, int64(p.MaxMessage))}
	defer content.done()
	body, ok := p.read(w, r, content)
	if !ok {
		return
	}
	m, err := message.Parse(line(body))
	if err == nil && hidesMessage(line(body)) {
		err = &message.Refusal{Code: message.CodeInvalidRequest, Reason: "a line of the body could be read as a message of its own", ID: m.ID}
	}
	if err == nil {
		err = mismatch(r.Header, m)
	}
	if err != nil {
		p.refuse(w, r, refusal(err))
		return
	}
	pass := passage{exchange: x, body: body}
	if m.IsRequest() {
		pass.id = m.ID
	}
	switch {
	case m.Method == message.ToolsCall:
		p.call(w, r, pass, m)
		return
	case m.Method == "notifications/cancelled" && p.calls.cancel(x, m), m.IsResponse() && p.deliver(r, x, m):
		w.WriteHeader(http.StatusAccepted)
		return
	case m.Method == "initialize":
		pass.elicitation = elicitation(m.Params)
	case m.Method == "tools/list" && p.Tools != nil:
		pass.rewrite = func(response []byte) []byte { p.Tools(response); return response }
	}
	p.forward(w, r, pass)
}

// read returns the body of a request. If it returns false, it has answered.
func (p *proxy) read(w http.ResponseWriter, r *http.Request, content io.Reader) ([]byte, bool) {
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(p.BodyTime))
	defer connection.SetReadDeadline(time.Time{}) // the connection is watched while a call waits
	body, err := io.ReadAll(content)
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		p.fail(w, r, http.StatusRequestEntityTooLarge, nil, message.CodeInvalidRequest, "the message is too long")
	case errors.Is(err, errBusy):
		p.busy(w, r, err.Error())
	case err != nil:
		w.Header().Set("Connection", "close")
		p.fail(w, r, http.StatusBadRequest, nil, message.CodeParse, "the message could not be read completely")
	}
	return body, err == nil
}

// line returns a message without the line end that may follow it.
func line(body []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(body, []byte("\n")), []byte("\r"))
}

func refusal(err error) *message.Refusal {
	var r *message.Refusal
	if !errors.As(err, &r) {
		r = &message.Refusal{Code: message.CodeInvalidRequest, Reason: "the message cannot be read"}
	}
	return r
}

// call lets the judge decide about a call, and does what the verdict says.
func (p *proxy) call(w http.ResponseWriter, r *http.Request, pass passage, m message.Message) {
	call, err := m.Call()
	if err == nil {
		err = callMismatch(r.Header, call)
	}
	if err != nil {
		p.refuse(w, r, refusal(err))
		return
	}
	person, err := p.person(r.Context(), pass.exchange)
	switch {
	case errors.Is(err, bearer.ErrNoAccount):
		p.fail(w, r, http.StatusForbidden, call.ID, message.CodeRefused, hold.NotExecuted+"The account of the access token is not known to Countersign.")
		return
	case err != nil:
		p.Log.Error("finding the person of an access token failed", "error", err)
		p.fail(w, r, http.StatusServiceUnavailable, call.ID, message.CodeRefused, hold.Explain(err))
		return
	}
	ctx, end, ok := p.calls.begin(r.Context(), pass.exchange, call.ID)
	if !ok {
		p.refuse(w, r, &message.Refusal{Code: message.CodeInvalidRequest, Reason: "a call with this id is in progress", ID: call.ID})
		return
	}
	to := &stream{proxy: p, w: w, r: r, allowed: accepts(r.Header, "text/event-stream")}
	defer to.close()
	verdict := p.judge.Judge(ctx, p.caller(r, pass.exchange, person), call, to)
	cancelled := end()
	switch {
	case r.Context().Err() != nil: // the client is gone
	case cancelled:
		to.answer(message.Error(call.ID, message.CodeRefused, hold.NotExecuted+"The call was cancelled."))
	case verdict.Forward != nil:
		if !bytes.Equal(verdict.Forward, call.Raw) {
			pass.body = verdict.Forward
		}
		pass.rewrite = verdict.Response
		w, pass.begun = to.writer()
		p.forward(w, r, pass)
	case verdict.Answer != nil:
		to.answer(verdict.Answer)
	default:
		to.answer(message.Error(call.ID, message.CodeRefused, hold.NotExecuted+"The call was cancelled."))
	}
}

// caller describes the sender of a call to the judge.
func (p *proxy) caller(r *http.Request, x exchange, person client.Person) gate.Caller {
	from := gate.Caller{Person: person}
	if !modern(r) {
		from.Version = r.Header.Get(versionHeader)
		from.URLElicitation = x.session.URLElicitation
	}
	return from
}

// person returns on whose behalf the sender of a request acts.
func (p *proxy) person(ctx context.Context, x exchange) (client.Person, error) {
	if !x.token {
		return p.Person, nil
	}
	return p.Tokens.Person(ctx, strings.TrimPrefix(x.subject, "token "))
}

// deliver gives a response to the gate's own requests to the judge. It returns false if the response is for the server.
func (p *proxy) deliver(r *http.Request, x exchange, m message.Message) bool {
	if !strings.HasPrefix(message.IDKey(m.ID), ownRequest) {
		return false
	}
	if person, err := p.person(r.Context(), x); err == nil {
		p.judge.Deliver(p.caller(r, x, person), m)
	}
	// The server did not ask. If the judge does not know the request, another replica sent it or it has ended.
	return true
}

// ownRequest is how the keys of the ids of the gate's requests begin.
const ownRequest = `"countersign-`

// elicitation reports whether the params of initialize say that the client can open a URL for the person.
func elicitation(params json.RawMessage) bool {
	var content struct {
		Capabilities json.RawMessage `json:"capabilities"`
	}
	return json.Unmarshal(params, &content) == nil && message.URLElicitation(content.Capabilities)
}

// accepts reports whether a client accepts a media type.
func accepts(header http.Header, kind string) bool {
	for _, values := range header.Values("Accept") {
		for value := range strings.SplitSeq(values, ",") {
			if parsed, _, err := mime.ParseMediaType(value); err == nil && (parsed == kind || parsed == "*/*" || parsed == "text/*") {
				return true
			}
		}
	}
	return false
}
