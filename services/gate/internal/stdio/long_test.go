package stdio

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// The tests that measure memory are not parallel, because they count what the whole process allocates.

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// endless is a line of n bytes without its end.
func endless(n int64) io.Reader { return io.LimitReader(letters{}, n) }

type letters struct{}

func (letters) Read(p []byte) (int, error) { return copy(p, alphabet), nil }

var alphabet = strings.Repeat("x", bufferSize)

func TestLongLineOfTheClientTakesNoMemory(t *testing.T) {
	c := converse(t, settings(), fakeJudge{})
	const size = 200 << 20
	used := allocated(func() {
		go func() {
			io.Copy(c.fromClient, endless(size))
			c.client("\n" + ping)
		}()
		c.clientGets(refusal("null", message.CodeInvalidRequest, "the message is too long"))
		c.serverGets(ping)
	})
	if used > 8*testMax {
		t.Errorf("%d MiB allocated", used>>20)
	}
}

func TestLongHalfLineOfTheClientIsRefusedOnce(t *testing.T) {
	c := converse(t, settings(), fakeJudge{})
	go func() {
		io.Copy(c.fromClient, endless(64<<20))
		c.fromClient.Close()
	}()
	c.clientGets(refusal("null", message.CodeInvalidRequest, "the message is too long"))
	c.serverGets("")
	c.pump.requests.wait(t.Context())
	go c.server("next\n")
	c.clientGets("next\n")
}

func TestLimitOfALine(t *testing.T) {
	t.Parallel()
	c := converse(t, settings(), fakeJudge{})
	const prefix, suffix = `{"jsonrpc":"2.0","id":1,"method":"x","params":["`, `"]}`
	fits := prefix + strings.Repeat("x", testMax-len(prefix+suffix)) + suffix
	tooLong := prefix + "x" + fits[len(prefix):]
	for _, end := range []string{"\n", "\r\n"} {
		go c.client(fits+end, tooLong+end, ping)
		c.serverGets(fits + end)
		c.clientGets(refusal("null", message.CodeInvalidRequest, "the message is too long"))
		c.serverGets(ping)
	}
}

func TestLongLineOfTheServerIsPassedInParts(t *testing.T) {
	judged := make(chan gate.Client, 1)
	c := converse(t, settings(), fakeJudge{decide: func(_ context.Context, _ gate.Caller, call message.Call, to gate.Client) gate.Verdict {
		judged <- to
		return gate.Verdict{Answer: message.Error(call.ID, -1, "no")}
	}})
	const size = 200 << 20
	used := allocated(func() {
		go func() {
			io.Copy(c.fromServer, endless(size/2))
			c.client(call("1", "{}")) // in the middle of the line
			<-judged
			io.Copy(c.fromServer, endless(size/2))
			c.server("\r\nnext\n")
		}()
		for n, part := 0, make([]byte, 1<<16); n < size; n += len(part) {
			if _, err := io.ReadFull(c.toClient, part); err != nil || len(bytes.Trim(part, "x")) > 0 {
				t.Fatalf("after %d bytes: %v, %.100q", n, err, bytes.Trim(part, "x"))
			}
		}
		c.clientGets("\r\n")
		answer, other := refusal("1", -1, "no"), "next\n"
		got, _ := c.toClient.ReadString('\n')
		if got == other {
			answer, other = other, answer
		}
		c.clientGets(other)
		if got != answer {
			t.Errorf("the client got %q after the line", got)
		}
	})
	if used > 8*maxPassed {
		t.Errorf("%d MiB allocated", used>>20)
	}
}

// While the gate must read a response, it collects longer messages, and passes them if they are still too long.
func TestLongLineOfTheServerWhileAResponseIsAwaited(t *testing.T) {
	t.Parallel()
	s := settings()
	s.MaxMessage = 3 << 20
	c := converse(t, s, fakeJudge{decide: func(_ context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		return gate.Verdict{Forward: call.Raw, Response: func([]byte) []byte { return []byte(`"changed"`) }}
	}})
	go c.client(call("1", "{}"), call("2", "{}"))
	for range 2 {
		if _, err := c.toServer.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	response := func(id string, size int) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"result":"` + strings.Repeat("x", size) + `"}` + "\n"
	}
	go c.server(response("1", 2<<20), response("2", 5<<20))
	c.clientGets(`"changed"` + "\n")
	c.clientGets(response("2", 5<<20))
}

func TestMessageOfTheGateBeginsANewLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	o := &output{w: &out}
	o.line([]byte("half"))
	o.Send([]byte("one"))
	o.Send([]byte("two"))
	o.long([]byte("be"), bufio.NewReader(strings.NewReader("gin")))
	o.Send([]byte("three"))
	o.long([]byte("who"), bufio.NewReader(strings.NewReader("le\n")))
	o.Send([]byte("four"))
	if want := "half\none\ntwo\nbegin\nthree\nwhole\nfour\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

// A client that reads nothing: the gate stops reading from it, so that neither refusals nor calls fill the memory.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	c := converse(t, settings(), fakeJudge{})
	bad := "[" + strings.Repeat(" ", bufferSize) + "\n" // more than the gate's buffer
	accepted := make(chan int)
	go func() {
		n := 0
		for range 10 * maxRefusals {
			if _, err := io.WriteString(c.fromClient, bad); err != nil {
				break
			}
			n++
		}
		accepted <- n
	}()
	for len(c.pump.refusals) < maxRefusals {
		runtime.Gosched()
	}
	c.fromClient.CloseWithError(io.ErrClosedPipe)
	if n := <-accepted; n > maxRefusals+2 {
		t.Errorf("%d messages were read", n)
	}
}

func TestManyLineSeparatorsAreReadOnce(t *testing.T) {
	t.Parallel()
	if hidesMessage([]byte(strings.Repeat("\u2028", 5<<20))) { // takes hours if each separator is followed to the end
		t.Error("there is no message")
	}
}

// The answers to calls must not fill the memory either.
func TestClientThatDoesNotReadAnswers(t *testing.T) {
	t.Parallel()
	c := converse(t, settings(), fakeJudge{decide: func(_ context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		return gate.Verdict{Answer: message.Error(call.ID, -1, "no")}
	}})
	accepted := make(chan int)
	go func() {
		n := 0
		for range 3 * maxRequests {
			if _, err := io.WriteString(c.fromClient, call(strconv.Itoa(n), "{}")); err != nil {
				break
			}
			n++
		}
		accepted <- n
	}()
	for len(c.pump.refusals) < maxRefusals {
		runtime.Gosched()
	}
	c.fromClient.CloseWithError(io.ErrClosedPipe)
	if n, buffered := <-accepted, bufferSize/len(call("1", "{}")); n > maxRequests+maxRefusals+buffered+2 {
		t.Errorf("%d calls were read", n)
	}
}

// A server that does not read must not stop the messages to the client, and the gate must not read on.
func TestServerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	c := converse(t, settings(), fakeJudge{})
	long := `{"jsonrpc":"2.0","method":"x","params":["` + strings.Repeat("x", bufferSize) + `"]}` + "\n"
	accepted := make(chan int)
	go func() {
		n := 0
		for range 100 {
			if _, err := io.WriteString(c.fromClient, long); err != nil {
				break
			}
			n++
		}
		accepted <- n
	}()
	for range 1000 {
		go c.server("next\n")
		c.clientGets("next\n")
	}
	c.fromClient.CloseWithError(io.ErrClosedPipe)
	if n := <-accepted; n > 2 {
		t.Errorf("%d messages were read", n)
	}
}
