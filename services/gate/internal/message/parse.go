package message

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// maxLevels is how deep objects and arrays of a message may be nested. It is far above the needs of any tool, and below the limits
// of common readers, so that the server reads what the gate read.
const maxLevels = 1000

// names are the names in a message that are read. A name that differs from them only in a way that lax readers ignore is refused.
var names = []string{"jsonrpc", "id", "method", "params", "result", "error"}

// Parse reads one message. The error is always a *Refusal. raw must not end with the end of its line, and must not change afterwards.
func Parse(raw []byte) (Message, error) {
	if reason := invalid(raw); reason != "" {
		return Message{}, &Refusal{Code: CodeParse, Reason: reason}
	}
	text := trim(raw)
	if text[0] != '{' {
		return Message{}, &Refusal{Code: CodeInvalidRequest, Reason: "the message is not an object; batches are not supported"}
	}
	m := Message{Raw: raw}
	var place [len(`jsonrpc`)]member
	members, reason := object(place[:0], text, names)
	if reason == "" && levels(text) > maxLevels {
		reason = "the message has too many levels"
	}
	if reason != "" {
		return Message{}, &Refusal{Code: CodeInvalidRequest, Reason: reason}
	}
	var version, method []byte
	for _, member := range members {
		switch string(member.name) {
		case "jsonrpc":
			version = member.value
		case "id":
			m.ID = member.value
		case "method":
			method = member.value
		case "params":
			m.Params = member.value
		case "result":
			m.Result = member.value
		case "error":
			m.Error = member.value
		}
	}
	if reason := m.shape(version, method); reason != "" {
		return Message{}, &Refusal{Code: CodeInvalidRequest, Reason: reason, ID: m.ID}
	}
	return m, nil
}

// invalid returns why a text is not JSON that all readers read in the same way, or "".
func invalid(raw []byte) string {
	switch {
	case !utf8.Valid(raw):
		return "the message is not valid UTF-8"
	case bytes.IndexByte(raw, '\r') >= 0: // some readers take it as the end of a line
		return "the message contains a carriage return"
	case !json.Valid(raw): // this includes a byte order mark and control characters
		return "the message is not one JSON value"
	}
	return ""
}

// shape sets Method, and returns why the members do not make a message, or "".
func (m *Message) shape(version, method []byte) string {
	name, isText := unquote(method)
	switch {
	case string(version) != `"2.0"`:
		return `jsonrpc must be "2.0"`
	case method != nil && (!isText || len(name) == 0 || bytes.ContainsFunc(name, isNoMethod)):
		return "method must be a text of visible ASCII characters"
	case method != nil && (m.Result != nil || m.Error != nil):
		return "the message has a method and a result or an error"
	case method == nil && m.Result == nil && m.Error == nil:
		return "the message has neither a method nor a result or an error"
	case m.Result != nil && m.Error != nil:
		return "the message has a result and an error"
	case m.Result != nil && m.ID == nil:
		return "the result has no id"
	case method == nil && m.Params != nil:
		return "the response has params"
	}
	m.Method = string(name)
	if m.Method != ToolsCall && strings.EqualFold(separators.Replace(m.Method), "toolscall") {
		return "the method must be written " + ToolsCall
	}
	return ""
}

// separators are what a lax server could ignore or take for the slash in a method.
var separators = strings.NewReplacer("/", "", "\\", "", ".", "", ":", "", "_", "", "-", "")

// isNoMethod reports whether no method of MCP contains a character. Some servers could ignore it, or take it for another one.
func isNoMethod(r rune) bool { return r <= ' ' || r > '~' }
