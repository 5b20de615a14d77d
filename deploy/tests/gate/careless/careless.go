package careless

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Call is a call of a tool that a server with this reading would run.
type Call struct {
	Reading string `json:"reading"`
	Tool    string `json:"tool"`
	// Arguments is a JSON value, with sorted names.
	Arguments string `json:"arguments"`
	// Receipt is the receipt in _meta, or empty.
	Receipt string `json:"receipt,omitempty"`
}

// maxRead is the greatest length of a message that is read, in bytes.
const maxRead = 1 << 20

// readings are the ways to read a message, by name. Only the first one is right.
var readings = map[string]func([]byte) []Call{
	"strict":    strict,
	"folding":   folding,
	"values":    values,
	"first":     func(raw []byte) []Call { return whole(raw, first) },
	"last":      func(raw []byte) []Call { return whole(raw, last) },
	"any case":  ignoringCase,
	"inherited": func(raw []byte) []Call { return whole(raw, inherited) },
	"lines":     lines,
	"cleaned":   func(raw []byte) []Call { return whole(cleaned(raw), last) },
	"C string":  func(raw []byte) []Call { before, _, _ := bytes.Cut(raw, []byte{0}); return whole(before, last) },
	"after NUL": func(raw []byte) []Call { return whole(raw[bytes.LastIndexByte(raw, 0)+1:], last) },
	"UTF-7":     func(raw []byte) []Call { return whole(bytes.ReplaceAll(raw, []byte("+ACI-"), []byte(`"`)), last) },
}

// Calls returns the calls that servers would run after a message, each with its reading.
func Calls(raw []byte) (calls []Call) {
	if len(raw) > maxRead {
		return nil
	}
	for name, read := range readings {
		for _, call := range read(raw) {
			call.Reading = name
			calls = append(calls, call)
		}
	}
	return calls
}

// Routed returns the calls of servers that believe headers of a request before its body.
func Routed(header http.Header, raw []byte) (calls []Call) {
	for _, method := range header.Values("Mcp-Method") {
		for _, name := range header.Values("Mcp-Name") {
			if message, err := parse(raw); err == nil && exact(method) {
				message, _ := message.(object)
				params, _ := last(message, "params").(object)
				call := run(params, last)
				call.Reading, call.Tool = "headers", name
				calls = append(calls, call)
			}
		}
	}
	return calls
}

// strict reads a message as the specification says.
func strict(raw []byte) []Call {
	var message struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	tree, err := parse(raw)
	o, ok := tree.(object)
	if err != nil || !ok || !utf8.Valid(raw) || twice(o) || json.Unmarshal(raw, &message) != nil || last(o, "jsonrpc") != "2.0" || last(o, "id") == nil {
		return nil
	}
	return calls(tree, last, exact)
}

// twice reports whether an object has two members with the same name, in any case.
func twice(o object) bool {
	seen := map[string]bool{}
	for _, m := range o {
		name := strings.ToLower(strings.ToUpper(m.name))
		if seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}

// message is how a Go program reads a message with encoding/json, which ignores the case of names.
type message struct {
	Method string `json:"method"`
	Params struct {
		Name      string         `json:"name"`
		Arguments map[string]any `json:"arguments"`
		Meta      struct {
			Receipt string `json:"countersign/receipt"`
		} `json:"_meta"`
	} `json:"params"`
}

func folding(raw []byte) []Call {
	var m message
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m.call()
}

// values reads one value after the other, wherever they end.
func values(raw []byte) (calls []Call) {
	for decoder := json.NewDecoder(bytes.NewReader(raw)); ; {
		var m message
		if err := decoder.Decode(&m); err != nil {
			return calls
		}
		calls = append(calls, m.call()...)
	}
}

func (m message) call() []Call {
	if !exact(m.Method) {
		return nil
	}
	if m.Params.Arguments == nil {
		m.Params.Arguments = map[string]any{}
	}
	return []Call{{Tool: m.Params.Name, Arguments: encode(m.Params.Arguments), Receipt: m.Params.Meta.Receipt}}
}

// lines reads each line for itself. Bare CR and all that Python's str.splitlines splits at end a line too.
func lines(raw []byte) (calls []Call) {
	for _, line := range bytes.FieldsFunc(raw, func(r rune) bool { return strings.ContainsRune("\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029", r) }) {
		calls = append(calls, whole(line, last)...)
	}
	return calls
}

var loneSurrogate = regexp.MustCompile(`\\u[dD][89a-fA-F][0-9a-fA-F]{2}`)

// cleaned removes what JSON does not allow: a byte order mark, invalid UTF-8, control characters, lone surrogates.
func cleaned(raw []byte) []byte {
	raw = bytes.ToValidUTF8(bytes.TrimPrefix(raw, []byte("\ufeff")), nil)
	raw = bytes.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, raw)
	return loneSurrogate.ReplaceAll(raw, nil)
}

func whole(raw []byte, get pick) []Call {
	tree, err := parse(raw)
	if err != nil {
		return nil
	}
	return calls(tree, get, exact)
}

func exact(method string) bool { return method == "tools/call" }

// ignoringCase reads a message whose names and method are in any case, with spaces around the method.
func ignoringCase(raw []byte) []Call {
	tree, err := parse(raw)
	if err != nil {
		return nil
	}
	return calls(tree, anyCase, func(method string) bool { return strings.EqualFold(strings.TrimSpace(method), "tools/call") })
}

// calls returns the calls in a message or a batch of messages. It needs no id.
func calls(tree any, get pick, isCall func(method string) bool) (all []Call) {
	switch tree := tree.(type) {
	case []any:
		for _, message := range tree {
			all = append(all, calls(message, get, isCall)...)
		}
	case object:
		method, _ := get(tree, "method").(string)
		if !isCall(method) {
			return nil
		}
		switch params := get(tree, "params").(type) {
		case object:
			return []Call{run(params, get)}
		case []any: // by position
			if len(params) > 0 {
				tool, _ := params[0].(string)
				return []Call{{Tool: tool, Arguments: "{}"}}
			}
		}
	}
	return all
}

func run(params object, get pick) (call Call) {
	call.Tool, _ = get(params, "name").(string)
	arguments := get(params, "arguments")
	if arguments == nil {
		arguments = object{}
	}
	call.Arguments = encode(plain(arguments, get))
	if meta, ok := get(params, "_meta").(object); ok {
		call.Receipt, _ = get(meta, "countersign/receipt").(string)
	}
	return call
}

func encode(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
