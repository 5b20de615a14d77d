package proxy

import (
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestStreamIsNotSilentWhileACallWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := httptest.NewRecorder()
		s := &stream{proxy: &proxy{}, w: w, r: httptest.NewRequest("POST", "/mcp", nil), allowed: true}
		time.Sleep(time.Hour)
		if w.Body.Len() != 0 {
			t.Errorf("before the first message: %q", w.Body)
		}
		if err := s.Send([]byte("1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2*silentTime + time.Second)
		if err := s.Send([]byte("2")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(silentTime - time.Second)
		s.close()
		time.Sleep(time.Hour)
		const comment = ": waiting\n\n"
		if want := string(event([]byte("1"))) + comment + comment + string(event([]byte("2"))); w.Body.String() != want {
			t.Errorf("%q, want %q", w.Body, want)
		}
	})
}

// connection records the deadline that each write has.
type connection struct {
	*httptest.ResponseRecorder
	deadline time.Time
	writes   []time.Duration
}

func (c *connection) SetWriteDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

func (c *connection) Write(text []byte) (int, error) {
	c.writes = append(c.writes, time.Until(c.deadline))
	return c.ResponseRecorder.Write(text)
}

func TestEachWriteToAClientHasADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &connection{ResponseRecorder: httptest.NewRecorder()}
		w := patient{c}
		for range 3 {
			w.Write([]byte("x"))
			time.Sleep(time.Hour)
		}
		if want := []time.Duration{sendTime, sendTime, sendTime}; !slices.Equal(c.writes, want) {
			t.Errorf("%v", c.writes)
		}
		(&proxy{}).ServeHTTP(c, httptest.NewRequest("GET", "/other", nil)) // every answer has a deadline
		if c.writes[3] != sendTime || time.Until(c.deadline) != sendTime {
			t.Errorf("%v, then %v", c.writes, time.Until(c.deadline))
		}
	})
}
