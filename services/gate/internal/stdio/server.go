package stdio

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/countersign/countersign/services/gate/internal/message"
)

// maxPassed is the longest message of the server that is collected in memory if the gate awaits no response. A longer message is
// passed on in parts, and messages of the gate wait for its end.
const maxPassed = 1 << 20

// observe remembers a message that goes to the server, and awaits the responses that the gate must read.
func (p *pump) observe(m message.Message) {
	if !m.IsRequest() {
		return
	}
	p.requests.sent(m.ID)
	switch {
	case m.Method == "initialize":
		elicitation := message.URLElicitation(member(m.Params, "capabilities"))
		p.requests.await(m.ID, awaited{response: func(response message.Message) []byte {
			var version string
			if json.Unmarshal(member(response.Result, "protocolVersion"), &version) == nil {
				p.mu.Lock()
				p.caller.Version, p.caller.URLElicitation = version, elicitation
				p.mu.Unlock()
			}
			return response.Raw
		}})
	case m.Method == "tools/list" && p.settings.Listed != nil:
		p.requests.await(m.ID, awaited{response: func(response message.Message) []byte {
			if response.Result != nil {
				p.settings.Listed(response.Result)
			}
			return response.Raw
		}})
	}
}

// member returns the value of a member of an object, or nil.
func member(object json.RawMessage, name string) json.RawMessage {
	var members map[string]json.RawMessage // unlike a struct, a map does not ignore case
	if json.Unmarshal(object, &members) != nil {
		return nil
	}
	return members[name]
}

// fromServer passes the messages of the server until its end, or until the client does not take messages any more.
func (p *pump) fromServer(stdout io.Reader) error {
	in := bufio.NewReaderSize(stdout, bufferSize)
	for {
		line, whole, err := readLine(in, p.maxCollected)
		switch {
		case err != nil:
			if failed := p.client.line(line); failed != nil || errors.Is(err, io.EOF) {
				return failed
			}
			return err
		case whole:
			err = p.client.line(p.response(line))
		default:
			err = p.client.long(line, in)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
}

// maxCollected is the longest message of the server that the gate must read as a whole now.
func (p *pump) maxCollected() int {
	if p.requests.awaiting() {
		return max(maxPassed, p.settings.MaxMessage)
	}
	return maxPassed
}

// response returns what the client gets for a line of the server.
func (p *pump) response(line []byte) []byte {
	if !p.requests.awaiting() {
		return line
	}
	m, err := message.Parse(withoutEnd(line))
	if err != nil || !m.IsResponse() || m.ID == nil {
		return line
	}
	request := p.requests.answered(m.ID)
	if request == nil {
		return line
	}
	end := line[len(m.Raw):]
	return append(bytes.Clone(request.response(m)), end...)
}
