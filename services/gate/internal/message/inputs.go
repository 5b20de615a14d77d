package message

import "encoding/json"

// InputRequired reports whether a response asks the client for inputs (2026-07-28 and later), and returns its requestState, or nil.
func (m Message) InputRequired() (state *string, asks bool) {
	kind, _ := unquote(field(m.Result, "resultType"))
	if string(kind) != "input_required" {
		return nil, false
	}
	if text, ok := unquote(field(m.Result, "requestState")); ok {
		value := string(text)
		state = &value
	}
	return state, true
}

// WithRequestState returns a response whose result has another requestState. Everything else in the result is kept.
func (m Message) WithRequestState(state string) []byte {
	out := append([]byte(`{"jsonrpc":"2.0","id":`), m.ID...)
	out = append(out, `,"result":{`...)
	out = appendMember(out, "requestState", appendText(nil, state))
	members, _ := object(nil, m.Result, nil)
	for _, member := range members {
		if string(member.name) != "requestState" {
			out = appendMember(append(out, ','), string(member.name), member.value)
		}
	}
	return append(out, '}', '}')
}

// Action returns the action in the client's answer to an elicitation: accept, decline or cancel. It returns "" if there is none.
func Action(result json.RawMessage) string {
	action, _ := unquote(field(result, "action"))
	return string(action)
}

// InputAction returns the action of one answer in inputResponses.
func (c Call) InputAction(key string) string { return Action(field(c.InputResponses, key)) }
