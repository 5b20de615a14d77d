package proxy

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// sendTime limits how long a client may take to receive one message of the gate.
const sendTime = 30 * time.Second

// stream is the way to the client of one call. The first message begins an event stream.
type stream struct {
	proxy   *proxy
	w       http.ResponseWriter
	r       *http.Request
	allowed bool

	mu            sync.Mutex
	begun, closed bool
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
	connection := http.NewResponseController(s.w)
	_ = connection.SetWriteDeadline(time.Now().Add(sendTime))
	defer connection.SetWriteDeadline(time.Time{})
	if !s.begun {
		s.begun = true
		s.proxy.own(s.w, s.r, "text/event-stream")
		s.w.Header().Set("X-Accel-Buffering", "no") // nginx must not keep events back
		s.w.WriteHeader(http.StatusOK)
	}
	if _, err := s.w.Write(event(message)); err != nil {
		return err
	}
	return connection.Flush()
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
