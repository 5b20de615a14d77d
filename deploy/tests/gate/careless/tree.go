// Package careless reads messages of the Model Context Protocol as careless servers do: in more than one way. An attacker writes a
// message that the gate reads in one way and the server in another.
package careless

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// object is a JSON object with its members in their order, and with the members that have the same name.
type object []member

type member struct {
	name  string
	value any
}

// pick returns the value of a member.
type pick func(o object, name string) any

func first(o object, name string) any {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

func last(o object, name string) (value any) {
	for _, m := range o {
		if m.name == name {
			value = m.value
		}
	}
	return value
}

// anyCase ignores the case of names.
func anyCase(o object, name string) (value any) {
	for _, m := range o {
		if strings.EqualFold(m.name, name) {
			value = m.value
		}
	}
	return value
}

// inherited also takes members of the member __proto__, as a JavaScript program does that copies the message.
func inherited(o object, name string) any {
	if value := last(o, name); value != nil {
		return value
	}
	if proto, ok := last(o, "__proto__").(object); ok {
		return inherited(proto, name)
	}
	return nil
}

// parse reads exactly one JSON value.
func parse(raw []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	value, err := parseValue(decoder)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("text after the value")
	}
	return value, nil
}

func parseValue(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := object{}
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			value, err := parseValue(decoder)
			if err != nil {
				return nil, err
			}
			o = append(o, member{name.(string), value})
		}
		_, err = decoder.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			value, err := parseValue(decoder)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = decoder.Token()
		return list, err
	}
	return token, nil
}

// plain turns objects into maps, in which each name has one value.
func plain(value any, get pick) any {
	switch value := value.(type) {
	case object:
		m := make(map[string]any, len(value))
		for _, member := range value {
			m[member.name] = plain(get(value, member.name), get)
		}
		return m
	case []any:
		list := make([]any, len(value))
		for i, v := range value {
			list[i] = plain(v, get)
		}
		return list
	}
	return value
}
