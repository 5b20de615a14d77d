package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// event is the event of an agent that asks before a tool runs.
const event = "PreToolUse"

// keys are the keys of the input that the hook reads.
var keys = []string{"hook_event_name", "tool_name", "tool_input"}

// input is the call that the agent asks about.
type input struct {
	tool string
	// arguments is a JSON object.
	arguments json.RawMessage
}

// read reads the question of an agent. What two programs could read in two ways is an error. No error repeats a value.
func read(from io.Reader, limit int) (input, error) {
	content, err := io.ReadAll(io.LimitReader(from, int64(limit)+1))
	switch {
	case err != nil:
		return input{}, errors.New("the input cannot be read")
	case len(content) > limit:
		return input{}, fmt.Errorf("the input is larger than %d bytes", limit)
	case !utf8.Valid(content):
		return input{}, errors.New("the input is not UTF-8")
	}
	values, err := object(content)
	if err != nil {
		return input{}, err
	}
	if raw, given := values["hook_event_name"]; given && string(raw) != `"`+event+`"` {
		return input{}, errors.New("hook_event_name is not " + event)
	}
	var in input
	if json.Unmarshal(values["tool_name"], &in.tool) != nil || in.tool == "" || strings.ContainsRune(in.tool, utf8.RuneError) {
		return input{}, errors.New("tool_name must be a text that is not empty")
	}
	if in.arguments = values["tool_input"]; len(in.arguments) == 0 || in.arguments[0] != '{' {
		return input{}, errors.New("tool_input must be an object")
	}
	return in, nil
}

// object returns the values of the keys that the hook reads. Other keys are skipped.
func object(content []byte) (map[string]json.RawMessage, error) {
	if !json.Valid(content) {
		return nil, errors.New("the input is not valid JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("the input must be an object")
	}
	values := map[string]json.RawMessage{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, errors.New("the input is not valid JSON")
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, errors.New("the input is not valid JSON")
		}
		name, _ := token.(string)
		for _, key := range keys {
			if !strings.EqualFold(name, key) {
				continue
			}
			// Some programs read the first of two equal keys, some the last, and some do not distinguish upper and lower case.
			if _, twice := values[key]; twice || name != key {
				return nil, fmt.Errorf("%s is given twice, or in another spelling", key)
			}
			values[key] = value
		}
	}
	return values, nil
}
