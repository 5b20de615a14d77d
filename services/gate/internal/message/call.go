package message

import (
	"bytes"
	"encoding/json"
	"unicode"
)

// Names in _meta that the gate reads or writes.
const (
	// Receipt is where the server gets the receipt of an approved call.
	Receipt            = "countersign/receipt"
	progressToken      = "progressToken"
	protocolVersion    = "io.modelcontextprotocol/protocolVersion"
	clientCapabilities = "io.modelcontextprotocol/clientCapabilities"
)

var (
	paramNames = []string{"name", "arguments", "_meta", "task", "requestState", "inputResponses"}
	metaNames  = []string{Receipt, progressToken, protocolVersion, clientCapabilities}
)

// Call is a request with the method tools/call.
type Call struct {
	Message
	Tool string
	// Arguments is the JSON object as it was sent, or nil.
	Arguments json.RawMessage
	// ProgressToken is the value of _meta.progressToken as it was sent, or nil.
	ProgressToken json.RawMessage
	// Version is the protocol version in _meta (2026-07-28 and later), or empty.
	Version string
	// URLElicitation is true if the client's capabilities in _meta contain elicitation.url.
	URLElicitation bool
	// RequestState and InputResponses are nil if they are absent (2026-07-28 and later).
	RequestState   *string
	InputResponses json.RawMessage
	// Task is true if params.task is present: the client expects a task instead of a result (2025-11-25).
	Task bool

	// other and meta are the members of params and of _meta that a rebuilt call keeps as they are.
	other, meta []member
}

// isCallID reports whether a JSON value can be the id of a call: a text or an integer. A fraction or an exponent is refused, because
// readers write such a number in many ways, and the response could not be assigned to the call.
func isCallID(id []byte) bool {
	return len(id) > 0 && (id[0] == '"' || len(bytes.Trim(id, "-0123456789")) == 0)
}

// IDKey returns an id in a form in which two spellings of the same text, such as "a" and "\u0061", are equal. The server may answer
// with another spelling than the client used.
func IDKey(id json.RawMessage) string {
	if text, ok := unquote(id); ok {
		return `"` + string(text)
	}
	return string(id)
}

// Call reads a request with the method tools/call. The error is always a *Refusal.
func (m Message) Call() (Call, error) {
	if m.Method != ToolsCall {
		return Call{}, &Refusal{Code: CodeInvalidRequest, Reason: "the message is not a call of a tool", ID: m.ID}
	}
	if !isCallID(m.ID) {
		return Call{}, &Refusal{Code: CodeInvalidRequest, Reason: "the id of a call must be a text or an integer"}
	}
	c := Call{Message: m}
	if reason := c.readParams(); reason != "" {
		return Call{}, &Refusal{Code: CodeInvalidParams, Reason: reason, ID: m.ID}
	}
	return c, nil
}

// readParams sets the fields from params. It returns why they are refused, or "".
func (c *Call) readParams() string {
	if !isObject(c.Params) {
		return "params must be an object"
	}
	var place [8]member
	members, reason := object(place[:0], c.Params, paramNames)
	if reason != "" {
		return "params: " + reason
	}
	for _, member := range members {
		value := member.value
		null := string(value) == "null"
		switch string(member.name) {
		case "name":
			name, ok := unquote(value)
			if !ok || len(name) == 0 || len(bytes.TrimSpace(name)) < len(name) || bytes.ContainsFunc(name, isHidden) {
				return "params.name must be a text that is not empty, without hidden characters, lone surrogates, and white space at its ends"
			}
			c.Tool = string(name)
		case "arguments":
			if !isObject(value) && !null {
				return "params.arguments must be an object"
			}
			if !null {
				c.Arguments = value
			}
		case "_meta":
			if !isObject(value) && !null {
				return "params._meta must be an object"
			}
			if reason := c.readMeta(value); reason != "" {
				return "params._meta: " + reason
			}
		case "requestState":
			if state, ok := unquote(value); ok {
				text := string(state)
				c.RequestState = &text
			} else if !null {
				return "params.requestState must be a text without lone surrogates and U+0000"
			}
		case "inputResponses":
			if !isObject(value) && !null {
				return "params.inputResponses must be an object"
			}
			if !null {
				c.InputResponses = value
			}
		case "task":
			c.Task = !null
			fallthrough
		default:
			c.other = append(c.other, member)
		}
	}
	if c.Tool == "" {
		return "params.name is missing"
	}
	return ""
}

// readMeta sets the fields that come from _meta. A value of another type than the protocol says is kept and not used: it only changes
// how the person gets the link.
func (c *Call) readMeta(value []byte) string {
	if !isObject(value) {
		return ""
	}
	members, reason := object(nil, value, metaNames)
	if reason != "" {
		return reason
	}
	for i, member := range members {
		switch string(member.name) {
		case Receipt:
			c.meta = append(members[:i:i], members[i+1:]...)
		case progressToken:
			if first := member.value[0]; first == '"' || first == '-' || first >= '0' && first <= '9' {
				c.ProgressToken = member.value
			}
		case protocolVersion:
			version, _ := unquote(member.value)
			c.Version = string(version)
		case clientCapabilities:
			c.URLElicitation = URLElicitation(member.value)
		}
	}
	if c.meta == nil {
		c.meta = members
	}
	return ""
}

// URLElicitation reports whether a client's capabilities contain elicitation.url.
func URLElicitation(capabilities []byte) bool {
	return isObject(field(field(trim(capabilities), "elicitation"), "url"))
}

// field returns the value of a member of an object, or nil.
func field(value []byte, name string) []byte {
	if !isObject(value) {
		return nil
	}
	members, _ := object(nil, value, []string{name})
	for _, member := range members {
		if string(member.name) == name {
			return member.value
		}
	}
	return nil
}

// isHidden reports whether a character cannot be seen. No skill can be registered with it, so the policy could take the name of a tool
// for an unknown one that a server reads without the character.
func isHidden(r rune) bool {
	return r > unicode.MaxASCII && unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || r == '\u2800' || !unicode.IsGraphic(r)
}

func isObject(value []byte) bool { return len(value) > 0 && value[0] == '{' }

// Forward returns the call rebuilt from the values that were read, in one line. arguments replaces the arguments if it is not empty.
// The receipt of the client is removed, and receipt is added if it is not empty. requestState and inputResponses replace the ones
// that were sent; nil removes them. All other members of params and _meta are kept.
func (c Call) Forward(arguments, receipt string, requestState *string, inputResponses json.RawMessage) []byte {
	out := make([]byte, 0, len(c.Raw)+len(arguments)+len(receipt)+128)
	out = append(out, `{"jsonrpc":"2.0","id":`...)
	out = append(out, c.ID...)
	out = append(out, `,"method":"tools/call","params":{"name":`...)
	out = appendText(out, c.Tool)
	if arguments == "" {
		arguments = string(c.Arguments)
	}
	if arguments != "" {
		out = appendMember(append(out, ','), "arguments", []byte(arguments))
	}
	if len(c.meta) > 0 || receipt != "" {
		out = append(out, `,"_meta":{`...)
		for i, member := range c.meta {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendMember(out, string(member.name), member.value)
		}
		if receipt != "" {
			if len(c.meta) > 0 {
				out = append(out, ',')
			}
			out = appendMember(out, Receipt, appendText(nil, receipt))
		}
		out = append(out, '}')
	}
	if requestState != nil {
		out = appendMember(append(out, ','), "requestState", appendText(nil, *requestState))
	}
	if inputResponses != nil {
		out = appendMember(append(out, ','), "inputResponses", inputResponses)
	}
	for _, member := range c.other {
		out = appendMember(append(out, ','), string(member.name), member.value)
	}
	return OneLine(append(out, '}', '}'))
}
