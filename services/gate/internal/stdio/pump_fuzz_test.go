package stdio

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// lineEnds are the characters at which Python's splitlines, Java's Scanner or other readers end a line.
const lineEnds = "\n\v\f\r\x1c\x1d\x1e\u0085\u2028\u2029"

// FuzzClientBytes checks that no bytes of a client become a call of a tool at the server while the judge refuses all calls, even if
// the server reads lines and JSON laxly. What passes is a line of the client, in order.
func FuzzClientBytes(f *testing.F) {
	for _, seed := range []string{
		ping, "\r\n" + ping, call("1", "{}"), "[" + call("1", "{}") + "]", ping + "\r" + call("1", "{}"),
		`{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}` + "\n", `{"jsonrpc":"2.0","method":"tools\/call"}` + "\r\n",
		`{"jsonrpc":"2.0","id":1,"method":"x","params":"` + "\u2028" + `{\"method\":\"tools/call\"}"}` + "\n",
		"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":[\"\u0085{\\\"method\\\":\\\"tools/call\\\"}\"]}\n", "\xef\xbb\xbf" + ping,
	} {
		f.Add([]byte(seed))
	}
	judge := fakeJudge{decide: func(_ context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		return gate.Verdict{Answer: message.Error(call.ID, -1, "no")}
	}}
	f.Fuzz(func(t *testing.T, sent []byte) {
		var server bytes.Buffer
		p := newPump(settings(), judge, &server, io.Discard)
		if err := p.fromClient(bytes.NewReader(sent)); err != nil {
			t.Fatal(err)
		}
		p.requests.wait(t.Context())
		rest := sent
		for line := range bytes.Lines(server.Bytes()) {
			_, after, found := bytes.Cut(rest, line)
			if !found {
				t.Fatalf("the client did not send %q", line)
			}
			rest = after
		}
		for _, part := range strings.FieldsFunc(server.String(), func(r rune) bool { return strings.ContainsRune(lineEnds, r) }) {
			var lax struct{ Method string }
			json.Unmarshal([]byte(strings.TrimLeft(strings.TrimSpace(part), "\ufeff")), &lax)
			if strings.EqualFold(strings.TrimSpace(lax.Method), message.ToolsCall) {
				t.Fatalf("the server can read %q as a call", part)
			}
		}
	})
}
