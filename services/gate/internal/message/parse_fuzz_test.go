package message_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/countersign/countersign/services/gate/internal/message"
)

// reader is how a program reads the members of an object. It returns nil for another value.
type reader func(raw json.RawMessage) map[string]json.RawMessage

// Readers that real servers use. All of them read the plain spelling of a name.
var readers = map[string]reader{
	"the last of equal names":  func(raw json.RawMessage) map[string]json.RawMessage { return members(raw, exactly, true) },
	"the first of equal names": func(raw json.RawMessage) map[string]json.RawMessage { return members(raw, exactly, false) },
	"ignoring case, the last": func(raw json.RawMessage) map[string]json.RawMessage {
		return members(raw, folded, true)
	},
	"ignoring case, the first": func(raw json.RawMessage) map[string]json.RawMessage {
		return members(raw, folded, false)
	},
	"only letters and digits": func(raw json.RawMessage) map[string]json.RawMessage { return members(raw, joined, true) },
	"names end at U+0000": func(raw json.RawMessage) map[string]json.RawMessage {
		return members(raw, func(name string) string { name, _, _ = strings.Cut(name, "\x00"); return name }, true)
	},
}

func exactly(name string) string { return name }

// folded maps all names that encoding/json takes for the same field to one.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return unicode.ToLower(least)
	}, name)
}

// joined returns the known name that a reader takes a name for if it compares only letters and digits, and ignores their case. Readers in
// Java and .NET accept snake_case.
func joined(name string) string {
	letters := func(name string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return r
			}
			return -1
		}, name)
	}
	for _, known := range []string{"jsonrpc", "id", "method", "params", "result", "error", "name", "arguments", "_meta", message.Receipt} {
		if folded(letters(name)) == folded(letters(known)) {
			return known
		}
	}
	return name
}

func members(raw json.RawMessage, rename func(string) string, last bool) map[string]json.RawMessage {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	found := map[string]json.RawMessage{}
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || decoder.Decode(&value) != nil {
			return found
		}
		name = rename(name)
		if _, has := found[name]; last || !has {
			found[name] = value
		}
	}
	return found
}

// text reads a text as programs with C strings do.
func text(raw json.RawMessage) string {
	var value string
	if json.Unmarshal(raw, &value) != nil {
		return ""
	}
	value, _, _ = strings.Cut(value, "\x00")
	return value
}

// FuzzParse checks that no reader understands an accepted message in another way, and that no part of its line is another message.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get-sum","arguments":{"a":1},"_meta":{"progressToken":1}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get-sum","Name":"get-env"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"x"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"ping","method\u0000":"tools/call"}`,
		`{"jsonrpc":"2.0","id":"\ud83d\ude00","m\u0065thod":"tools\/call","params":{"n\u0061me":"\u0061","_meta":{"countersign/receipt":"x","a":[{}]},"task":null}}`,
		"{\"x\":\r{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}\r}",
		`[{"jsonrpc":"2.0","id":1,"method":"tools/call"}]`,
		`{"jsonrpc":"2.0","id":1,"method":"/Tools/call","params":{"name":"a\u200b"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","na-me":"b","_name":"c","meta":{}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call\ud800"}`,
		`{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"x","inputRequests":{}}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestSTate":"x","inputRequests":{}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := message.Parse(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(m.Raw, raw) || !json.Valid(raw) || m.IsResponse() != (m.Result != nil || m.Error != nil) || m.IsRequest() && m.IsNotification() {
			t.Fatalf("%q was read as %+v", raw, m)
		}
		for _, line := range bytes.Split(raw, []byte("\r")) {
			if len(line) != len(raw) && text(readers["the last of equal names"](line)["method"]) == message.ToolsCall {
				t.Fatalf("%q contains the message %q", raw, line)
			}
		}
		if lax := strings.ToLower(strings.Trim(m.Method, " /.\t\n")); lax == message.ToolsCall && m.Method != message.ToolsCall {
			t.Fatalf("%q has the method %q", raw, m.Method)
		}
		call, refused := m.Call()
		for name, read := range readers {
			members := read(raw)
			if method := text(members["method"]); method != m.Method {
				t.Fatalf("%q has the method %q for a reader with %s, and %q for the gate", raw, method, name, m.Method)
			}
			if refused != nil {
				continue
			}
			params := read(members["params"])
			if text(params["name"]) != call.Tool || !same(params["arguments"], call.Arguments) || !same(members["id"], call.ID) {
				t.Fatalf("%q calls %q with %s for a reader with %s, and %q with %s for the gate", raw, text(params["name"]), params["arguments"], name, call.Tool, call.Arguments)
			}
		}
		if refused == nil {
			rebuilt(t, call)
		}
		if state, asks := m.InputRequired(); asks {
			changed, err := message.Parse(m.WithRequestState("new"))
			if next, still := changed.InputRequired(); err != nil || !still || next == nil || *next != "new" {
				t.Fatalf("%q with the state %v became %q (%v)", raw, state, changed.Raw, err)
			}
		}
	})
}

func same(a, b json.RawMessage) bool {
	return bytes.Equal(a, b) || a == nil && b == nil || string(a) == "null" && b == nil
}

// rebuilt checks that a rebuilt call is the same call, with the receipt of the gate.
func rebuilt(t *testing.T, call message.Call) {
	t.Helper()
	raw := call.Forward("", "receipt", call.RequestState, call.InputResponses)
	if bytes.ContainsAny(raw, "\n\r\u0085\u2028\u2029") {
		t.Fatalf("the rebuilt call %q has more than one line", raw)
	}
	m, err := message.Parse(raw)
	if err != nil {
		t.Fatalf("the rebuilt call %q: %v", raw, err)
	}
	again, err := m.Call()
	if err != nil {
		t.Fatalf("the rebuilt call %q: %v", raw, err)
	}
	if again.Tool != call.Tool || !bytes.Equal(again.ID, call.ID) && !strings.ContainsAny(string(call.ID), "\u0085\u2028\u2029") ||
		compact(again.Arguments) != compact(call.Arguments) || again.Task != call.Task || again.Version != call.Version || again.URLElicitation != call.URLElicitation {
		t.Fatalf("the call %q became %q", call.Raw, raw)
	}
	for name, read := range readers {
		if receipt := text(read(read(m.Params)["_meta"])[message.Receipt]); receipt != "receipt" {
			t.Fatalf("%q has the receipt %q for a reader with %s", raw, receipt, name)
		}
	}
}

func compact(raw json.RawMessage) string {
	var out bytes.Buffer
	if len(raw) == 0 || json.Compact(&out, raw) != nil {
		return ""
	}
	return string(message.OneLine(out.Bytes()))
}
