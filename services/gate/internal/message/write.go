package message

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Result returns the response to a request. It is one line, like the results of the other functions of this file.
func Result(id json.RawMessage, result any) []byte {
	return encode(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  any             `json:"result"`
	}{"2.0", id, result})
}

// Error returns the error that answers a request. A nil id is written as null.
func Error(id json.RawMessage, code int, text string) []byte {
	type failure struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	return encode(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   failure         `json:"error"`
	}{"2.0", id, failure{code, text}})
}

// Answer returns the error that answers a refused message.
func (r *Refusal) Answer() []byte { return Error(r.ID, r.Code, r.Reason) }

// Request returns a request of the gate to the client.
func Request(id, method string, params any) []byte {
	return encode(struct {
		Version string `json:"jsonrpc"`
		ID      string `json:"id"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
	}{"2.0", id, method, params})
}

// Notification returns a notification of the gate to the client.
func Notification(method string, params any) []byte {
	return encode(struct {
		Version string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
	}{"2.0", method, params})
}

// encode panics only if the gate itself passes a value that is not JSON.
func encode(value any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // a link stays readable
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// OneLine returns the message in a form that every reader takes for one line. Node's readline ends a line at U+2028 and U+2029, and
// Python's splitlines also at U+0085. In JSON they can only be in texts, so they are replaced by their escapes, which mean the same.
// Other messages are returned as they are. A line feed is not replaced.
func OneLine(raw []byte) []byte {
	if !bytes.Contains(raw, []byte("\u2028")) && !bytes.Contains(raw, []byte("\u2029")) && !bytes.Contains(raw, []byte("\u0085")) {
		return raw
	}
	raw = bytes.ReplaceAll(raw, []byte("\u2028"), []byte(`\u2028`))
	raw = bytes.ReplaceAll(raw, []byte("\u2029"), []byte(`\u2029`))
	return bytes.ReplaceAll(raw, []byte("\u0085"), []byte(`\u0085`))
}

// appendMember appends a name and a value without line feeds.
func appendMember(out []byte, name string, value []byte) []byte {
	out = append(appendText(out, name), ':')
	if bytes.IndexByte(value, '\n') < 0 {
		return append(out, value...)
	}
	line := bytes.NewBuffer(out)
	_ = json.Compact(line, value) // value was valid JSON
	return line.Bytes()
}

// appendText appends a text as JSON.
func appendText(out []byte, text string) []byte {
	const digits = "0123456789abcdef"
	out = append(out, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029:
			out = append(out, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return append(out, '"')
}
