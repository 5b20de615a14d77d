package proxy

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	// sendTime limits how long a client may take to receive one message of the gate, or one part of a response.
	sendTime = 30 * time.Second
	// silentTime is how long an event stream may be silent while a call waits. Proxies end connections that are silent for a minute.
	silentTime = 15 * time.Second
)

// stream is the way to the client of one call. The first message begins an event stream.
type stream struct {
	proxy   *proxy
	w       http.ResponseWriter
	r       *http.Request
	allowed bool

	mu            sync.Mutex
	begun, closed bool
	silent        *time.Timer
}

// CanReceive reports whether the client accepts an event stream.
func (s *stream) CanReceive() bool { return s.allowed }

// Send sends a message as an event.
func (s *stream) Send(message []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.allowed {
		return errors.New("the client receives no more messages for this call")
	}
	if !s.begun {
		s.begun = true
		s.proxy.own(s.w, s.r, "text/event-stream")
		s.w.Header().Set("X-Accel-Buffering", "no") // nginx must not keep events back
		s.w.WriteHeader(http.StatusOK)
		s.silent = time.AfterFunc(silentTime, s.keepAlive)
	}
	return s.write(event(message))
}

// keepAlive sends a comment.
func (s *stream) keepAlive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		_ = s.write([]byte(": waiting\n\n")) // a client that is gone ends the call
	}
}

// write needs the lock.
func (s *stream) write(text []byte) error {
	s.silent.Reset(silentTime)
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return http.NewResponseController(s.w).Flush()
}

// answer sends the last message.
func (s *stream) answer(message []byte) {
	s.mu.Lock()
	begun := s.begun
	s.mu.Unlock()
	if begun {
		_ = s.Send(message) // a client that is gone needs no answer
		return
	}
	s.proxy.own(s.w, s.r, "application/json")
	s.w.Write(message)
}

// close ends the stream: after that, nobody may write to the connection.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.silent != nil {
		s.silent.Stop()
	}
}

// writer returns where the server's response goes, and whether it goes into an event stream that has begun.
func (s *stream) writer() (_ http.ResponseWriter, begun bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true // from now on, only the server's response is written
	if s.begun {
		return headless{s.w, http.Header{}}, true
	}
	return s.w, false
}

// headless writes a body after the headers were sent.
type headless struct {
	http.ResponseWriter
	header http.Header
}

func (h headless) Header() http.Header         { return h.header }
func (h headless) WriteHeader(int)             {}
func (h headless) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// patient gives a client sendTime for each part of a response. The response as a whole has no limit.
type patient struct{ http.ResponseWriter }

func (p patient) Write(part []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(part)
}

func (p patient) extend() {
	_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(sendTime))
}

func (p patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// event returns a message as an event. A message is JSON, so line ends can only be between its values.
func event(message []byte) []byte {
	out := append([]byte("event: message\ndata: "), message...)
	for i, c := range out[len("event: message\n"):] {
		if c == '\n' || c == '\r' {
			out[len("event: message\n")+i] = ' '
		}
	}
	return append(out, '\n', '\n')
}
