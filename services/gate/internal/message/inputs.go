package message

import "encoding/json"

// InputRequired reports whether a response asks the client for inputs (2026-07-28 and later), and returns its requestState, or nil.
// A result that two readers could read in two ways asks for nothing.
func (m Message) InputRequired() (state *string, asks bool) {
	if !isObject(m.Result) {
		return nil, false
	}
	members, _ := object(nil, m.Result, []string{"resultType", "requestState"})
	for _, member := range members {
		text, ok := unquote(member.value)
		switch string(member.name) {
		case "resultType":
			asks = string(text) == "input_required"
		case "requestState":
			if value := string(text); ok {
				state = &value
			}
		}
	}
	return state, asks
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
