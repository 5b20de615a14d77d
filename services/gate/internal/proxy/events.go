package proxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/countersign/countersign/services/gate/internal/message"
)

// maxRewritten is the greatest size of a response that the gate reads. Longer ones pass unread.
const maxRewritten = 64 << 20

// rewrite changes the body of a response as the passage says.
func rewrite(response *http.Response, pass passage) error {
	if pass.rewrite == nil && !pass.begun {
		return nil
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	readable := response.Header.Get("Content-Encoding") == ""
	switch {
	case kind == "text/event-stream" && readable && response.StatusCode == http.StatusOK:
		if pass.rewrite != nil {
			response.Body = &events{from: bufio.NewReader(response.Body), closer: response.Body, pass: pass}
			response.ContentLength = -1
			response.Header.Del("Content-Length")
		}
		return nil
	case kind == "application/json" && readable:
	case pass.begun:
		return replace(response, event(status(response, pass)))
	default:
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRewritten+1))
	if err != nil {
		return fmt.Errorf("reading the response: %w", err)
	}
	answers := isResponse(body, pass.id)
	switch {
	case len(body) > maxRewritten && pass.begun, !answers && pass.begun:
		return replace(response, event(status(response, pass)))
	case len(body) > maxRewritten:
		response.Body = both{io.MultiReader(bytes.NewReader(body), response.Body), response.Body}
		return nil
	}
	if answers && pass.rewrite != nil {
		body = pass.rewrite(body)
	}
	if pass.begun {
		body = event(body)
	}
	return replace(response, body)
}

type both struct {
	io.Reader
	io.Closer
}

// replace gives a response another body.
func replace(response *http.Response, body []byte) error {
	err := response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.ContentLength = int64(len(body))
	response.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return err
}

// status is the message for a client that already gets an event stream, if the server's response is not a message for this call.
func status(response *http.Response, pass passage) []byte {
	return message.Error(pass.id, message.CodeRefused, fmt.Sprintf("the MCP server did not answer the call; its status is %d", response.StatusCode))
}

// isResponse reports whether a message of the server is the response to the request with this id.
func isResponse(text []byte, id json.RawMessage) bool {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method *string         `json:"method"`
	}
	return json.Unmarshal(text, &m) == nil && m.Method == nil && m.ID != nil && message.IDKey(m.ID) == message.IDKey(id)
}

// events reads an event stream and rewrites the response in it. All other bytes pass as they are, as soon as their event is complete.
type events struct {
	from   *bufio.Reader
	closer io.Closer
	pass   passage

	ready   []byte // for the reader
	raw     []byte // the bytes of the current event
	line    []byte // the current line
	data    []byte // the lines of data of the current event, each with a line feed
	other   []byte // its other lines, each with a line feed
	afterCR bool   // a line feed now belongs to the line end before it
	err     error
}

func (e *events) Close() error { return e.closer.Close() }

func (e *events) Read(to []byte) (int, error) {
	for len(e.ready) == 0 && e.err == nil {
		e.next()
	}
	if len(e.ready) == 0 {
		return 0, e.err
	}
	n := copy(to, e.ready)
	e.ready = e.ready[n:]
	return n, nil
}

// next reads until an event is complete.
func (e *events) next() {
	for {
		c, err := e.from.ReadByte()
		if err != nil {
			e.err = err
			e.release()
			return
		}
		e.raw = append(e.raw, c)
		switch {
		case c == '\n' && e.afterCR:
			e.afterCR = false
			continue
		case c != '\n' && c != '\r':
			e.afterCR = false
			e.line = append(e.line, c)
			if len(e.raw) > maxRewritten {
				e.release()
				return
			}
			continue
		}
		e.afterCR = c == '\r'
		if len(e.line) == 0 {
			e.complete()
			return
		}
		e.endLine()
	}
}

// endLine sorts a line that is complete.
func (e *events) endLine() {
	name, value, _ := bytes.Cut(bytes.TrimPrefix(e.line, []byte("\ufeff")), []byte(":"))
	if string(name) == "data" {
		e.data = append(append(e.data, bytes.TrimPrefix(value, []byte(" "))...), '\n')
	} else {
		e.other = append(append(e.other, e.line...), '\n')
	}
	e.line = e.line[:0]
}

// complete passes an event, and rewrites it if it is the response.
func (e *events) complete() {
	data := bytes.TrimSuffix(e.data, []byte("\n"))
	if isResponse(data, e.pass.id) {
		if changed := e.pass.rewrite(data); !bytes.Equal(changed, data) {
			changed = bytes.TrimPrefix(event(changed), []byte("event: message\n"))
			e.raw = append(append(e.raw[:0], e.other...), changed...)
		}
	}
	e.release()
}

// release gives the current bytes to the reader, and begins a new event.
func (e *events) release() {
	e.ready = append([]byte(nil), e.raw...)
	e.raw, e.data, e.other, e.line = e.raw[:0], e.data[:0], e.other[:0], e.line[:0]
}
