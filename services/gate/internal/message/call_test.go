package message_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/countersign/countersign/services/gate/internal/message"
)

func parseCall(t testing.TB, raw string) message.Call {
	t.Helper()
	m, err := message.Parse([]byte(raw))
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	c, err := m.Call()
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return c
}

func TestCallIsRead(t *testing.T) {
	t.Parallel()
	c := parseCall(t, `{"params":{"_meta":{"progressToken":"p","io.modelcontextprotocol/protocolVersion":"2026-07-28",
		"io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{},"url":{}}}},"inputResponses":{"a":{}},"requestState":"\u0061\/b",
		"arguments":{"a":[1,{"b":2}]},"name":"get\u002dsum","task":{"ttl":1}},"method":"tools\/call","id":"x\u0061","jsonrpc":"2.0"}`)
	if c.Tool != "get-sum" || string(c.Arguments) != `{"a":[1,{"b":2}]}` || string(c.ProgressToken) != `"p"` || c.Version != "2026-07-28" ||
		!c.URLElicitation || c.RequestState == nil || *c.RequestState != "a/b" || string(c.InputResponses) != `{"a":{}}` || !c.Task || string(c.ID) != `"x\u0061"` {
		t.Errorf("%+v", c)
	}
	for _, id := range []string{`0`, `-1`, `12345678901234567890`, `""`, `"é"`} {
		if c := parseCall(t, `{"jsonrpc":"2.0","id":`+id+`,"method":"tools/call","params":{"name":"x"}}`); string(c.ID) != id {
			t.Errorf("id %s was read as %s", id, c.ID)
		}
	}
}

func TestNullIsTheSameAsAbsent(t *testing.T) {
	t.Parallel()
	c := parseCall(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":null,"_meta":null,"task":null,"requestState":null,"inputResponses":null}}`)
	if c.Arguments != nil || c.ProgressToken != nil || c.Task || c.RequestState != nil || c.InputResponses != nil {
		t.Errorf("%+v", c)
	}
}

func TestMetaOfAnotherTypeIsNotUsed(t *testing.T) {
	t.Parallel()
	for _, meta := range []string{
		`{"progressToken":{"a":1},"io.modelcontextprotocol/protocolVersion":2026,"io.modelcontextprotocol/clientCapabilities":[]}`,
		`{"progressToken":null,"io.modelcontextprotocol/clientCapabilities":{"elicitation":true}}`,
		`{"progressToken":true,"io.modelcontextprotocol/clientCapabilities":{"elicitation":{"url":null}}}`,
		`{"progressToken":[1],"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}`,
		`{"io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{}},"elicitation":{"url":{}}}}`,
	} {
		c := parseCall(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":`+meta+`}}`)
		if c.ProgressToken != nil || c.Version != "" || c.URLElicitation {
			t.Errorf("%s: %+v", meta, c)
		}
	}
}

func TestForwardIsRebuilt(t *testing.T) {
	t.Parallel()
	c := parseCall(t, "{\"jsonrpc\":\"2.0\",\"id\":1,\"x\":2,\"method\":\"tools/call\",\"params\":{\"z\\u0007\u2028\":[1,\n2],\"_meta\":{\"a\":{\"b\":\n1},\"countersign/receipt\":\"forged\",\"progressToken\":1},\n"+
		"\"arguments\":{\"to\" :\n\"Bob\"},\"name\":\"n\\u0061me\\\"\",\"requestState\":\"old\",\"inputResponses\":{\"old\":1},\"task\":{}}}")
	state := "s\n"
	for name, test := range map[string]struct{ got, want string }{
		"as it was read": {
			string(c.Forward("", "", nil, nil)),
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"name\"","arguments":{"to":"Bob"},"_meta":{"a":{"b":1},"progressToken":1},"z\u0007\u2028":[1,2],"task":{}}}`,
		},
		"approved": {
			string(c.Forward(`{"to":"Bob"}`, "r.e.c", &state, json.RawMessage(`{"new":1}`))),
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"name\"","arguments":{"to":"Bob"},"_meta":{"a":{"b":1},"progressToken":1,"countersign/receipt":"r.e.c"},"requestState":"s\u000a","inputResponses":{"new":1},"z\u0007\u2028":[1,2],"task":{}}}`,
		},
	} {
		if test.got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", name, test.got, test.want)
		}
	}
	plain := parseCall(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"countersign/receipt":"forged"}}}`)
	if got := string(plain.Forward("", "", nil, nil)); strings.Contains(got, "_meta") || strings.Contains(got, "forged") {
		t.Error(got)
	}
	if got := string(plain.Forward("{}", "r", nil, nil)); !strings.HasSuffix(got, `"params":{"name":"x","arguments":{},"_meta":{"countersign/receipt":"r"}}}`) {
		t.Error(got)
	}
}

// A skill with such a name cannot be registered, so under the enforcement "listed" it would be open, and a server that drops the
// character would run a protected tool.
func TestToolWithHiddenCharactersIsRefused(t *testing.T) {
	t.Parallel()
	for _, hidden := range []string{`\u200b`, `\u200d`, `\ufeff`, `\u00ad`, `\u202e`, `\u2060`, `\u180e`, `\u3164`, `\u115f`, `\ufe0f`, `\u034f`, `\u2800`, `\u0007`, `\u007f`, `\u0085`, `\u2028`,
		`\ue000`, `\uffff`, `\udb40\udc41`, `\u0000`, `\ud800`, "\u200b", "\u2028"} {
		for _, name := range []string{"trans" + hidden + "fer", "transfer" + hidden, hidden + "transfer"} {
			if r := refusal(t, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"`+name+`"}}`); r == nil || r.Code != message.CodeInvalidParams || string(r.ID) != "7" {
				t.Errorf("%q: %v", name, r)
			}
		}
	}
	for _, name := range []string{"Überweisung / 銀行 {x}?#%", "get env", "a.b-c_d/e:f", "é", "👍"} {
		if c := parseCall(t, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"`+name+`"}}`); c.Tool != name {
			t.Errorf("%q was read as %q", name, c.Tool)
		}
	}
}

func TestSpellingsOfAnIDAreEqual(t *testing.T) {
	t.Parallel()
	if a, b := message.IDKey([]byte(`"a/"`)), message.IDKey([]byte(`"\u0061\/"`)); a != b {
		t.Errorf("%q, %q", a, b)
	}
	if a, b := message.IDKey([]byte(`"1"`)), message.IDKey([]byte(`1`)); a == b {
		t.Error("a text equals a number")
	}
}

func TestWrittenMessagesAreOneLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ got, want string }{
		{string(message.Result(json.RawMessage(`"a"`), map[string]any{"text": "a\nb&<"})), `{"jsonrpc":"2.0","id":"a","result":{"text":"a\nb&<"}}`},
		{string(message.Error(nil, -32600, "no")), `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}`},
		{string(message.Request("c-1", "ping", map[string]any{})), `{"jsonrpc":"2.0","id":"c-1","method":"ping","params":{}}`},
		{string(message.Notification("n", map[string]any{"v": json.RawMessage("[\n]")})), `{"jsonrpc":"2.0","method":"n","params":{"v":[]}}`},
		{string(message.OneLine([]byte("[\"\u2028\u2029\u0085\"]"))), `["\u2028\u2029\u0085"]`},
		{string(message.OneLine([]byte("[\"\u2027Å\"]"))), "[\"\u2027Å\"]"},
	} {
		if test.got != test.want {
			t.Errorf("got %s, want %s", test.got, test.want)
		}
	}
}

func BenchmarkParseAndCall1KiB(b *testing.B) {
	raw := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write_file","arguments":{"path":"/tmp/a","content":"` + strings.Repeat("a line of text ", 58) +
		`"},"_meta":{"progressToken":1}}}`)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := message.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Call(); err != nil {
			b.Fatal(err)
		}
	}
}
