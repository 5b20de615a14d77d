package web

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"time"
)

// writeTime is the longest time that a client may take to accept a later answer.
const writeTime = 5 * time.Second

// LaterAnswer is an answer that is written to a connection that a handler has taken over (Later).
type LaterAnswer struct {
	Status int
	// Header has additional headers.
	Header http.Header
	// Body is encoded as JSON. nil means no body.
	Body any
}

// LaterError returns the answer to an error, in FastAPI's shape.
func LaterError(err error, unavailable func(error) bool) LaterAnswer {
	status, failure, issues := classify(err, unavailable)
	header := http.Header{ErrorCodeHeader: {failure.Code}}
	if failure.After > 0 {
		header.Set("Retry-After", RetryAfter(failure.After))
	}
	return LaterAnswer{status, header, fastAPIBody(ErrorAnswer{status, failure.Code, failure.Text, failure.LockedUntil, issues})}
}

// Write writes the answer with the headers that every answer has. It returns the status for the log: StatusClientClosed if the
// client does not accept the answer. The caller closes the connection.
func (a LaterAnswer) Write(conn net.Conn, requestID string) int {
	header := http.Header{
		"X-Request-Id": {requestID}, "Date": {time.Now().UTC().Format(http.TimeFormat)},
		"Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"},
	}
	response := http.Response{ProtoMajor: 1, ProtoMinor: 1, StatusCode: a.Status, Header: header, Close: true}
	if a.Body != nil {
		body, err := json.Marshal(a.Body)
		if err != nil {
			return http.StatusInternalServerError
		}
		response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		header.Set("Content-Type", "application/json")
	}
	for name, values := range a.Header {
		header[name] = values
	}
	var text bytes.Buffer
	_ = response.Write(&text) // a write to a buffer does not fail
	err := conn.SetWriteDeadline(time.Now().Add(writeTime))
	if err == nil {
		_, err = conn.Write(text.Bytes())
	}
	if err != nil {
		return StatusClientClosed
	}
	return a.Status
}
