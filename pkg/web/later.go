package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/countersign/countersign/pkg/fault"
)

// Later is the error of a handler that took its connection over and answers later, outside of the server. The request's
// log line and measurement wait for that.
type Later struct {
	mu     sync.Mutex
	status int
	report func(status int)
}

func (*Later) Error() string { return "answered later" }

// StatusGone is logged for a client that went away before its answer. It is never sent.
const StatusGone = 499

// Answered says with which status the request was answered in the end.
func (l *Later) Answered(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status = status; l.report != nil {
		l.report(status)
	}
}

// then calls report when the request is answered, or at once when it has been.
func (l *Later) then(report func(status int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.report = report; l.status != 0 {
		report(l.status)
	}
}

// Whole is a whole answer in HTTP/1.1, after which the connection is closed: 200 without a body, or a failure in the shape
// of JSON:API.
func Whole(requestID string, failure *fault.Error) []byte {
	status, body := http.StatusOK, []byte{}
	header := http.Header{"X-Request-Id": {requestID}, "Date": {time.Now().UTC().Format(http.TimeFormat)}, "Connection": {"close"}}
	if failure != nil {
		status = statuses[failure.Kind]
		body, _ = json.Marshal(jsonAPIErrors(requestID, status, failure, nil)) // texts always encode
		header.Set("Content-Type", jsonAPIType)
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	var text bytes.Buffer
	fmt.Fprintf(&text, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = header.Write(&text) // a buffer takes everything
	text.WriteString("\r\n")
	text.Write(body)
	return text.Bytes()
}
