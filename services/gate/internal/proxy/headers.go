package proxy

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/countersign/countersign/services/gate/internal/message"
)

const (
	sessionHeader = "Mcp-Session-Id"
	versionHeader = "Mcp-Protocol-Version"
	methodHeader  = "Mcp-Method"
	nameHeader    = "Mcp-Name"
	paramPrefix   = "Mcp-Param-"
	// modernVersion is the first protocol version without initialize and without sessions.
	modernVersion = "2026-07-28"
)

// modern reports whether a request says that it belongs to a protocol version without sessions.
func modern(r *http.Request) bool { return r.Header.Get(versionHeader) >= modernVersion }

// ambiguous returns why two programs could read a request in two ways, or "".
func ambiguous(r *http.Request) string {
	for name, values := range r.Header {
		switch {
		case len(values) == 1:
		case strings.HasPrefix(name, "Mcp-"), name == "Authorization", name == "Content-Type", name == "Last-Event-Id":
			return "the header " + name + " must be sent only once"
		}
	}
	if r.Header.Get("Upgrade") != "" {
		return "the gate passes only HTTP"
	}
	return ""
}

// unreadable returns why the body of a POST cannot be read as JSON in UTF-8, or "".
func unreadable(header http.Header) string {
	if _, found := header["Content-Encoding"]; found {
		return "the header Content-Encoding is not accepted: the body must not be compressed"
	}
	kind, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return "the header Content-Type must be application/json"
	}
	if charset, found := parameters["charset"]; found && !strings.EqualFold(charset, "utf-8") {
		return "the charset in the header Content-Type must be utf-8"
	}
	return ""
}

// removed reports whether a header of the client is not sent to the server: the server could believe it about the client's address,
// or do something else than the request line says. Names with other characters than letters, digits and "-" are removed because CGI
// and WSGI servers take "Mcp_Session_Id" for "Mcp-Session-Id".
func removed(name string) bool {
	switch name {
	case "Expect", "Te", "Trailer", "Upgrade", "Connection", "X-Real-Ip", "X-Original-Url", "X-Rewrite-Url", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override":
		return true
	}
	return name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") || strings.ContainsFunc(name, func(c rune) bool {
		return c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	})
}

// aboutMessage reports whether a header describes a message. Without a message, nothing can show that it is right.
func aboutMessage(name string) bool {
	return name == methodHeader || name == nameHeader || strings.HasPrefix(name, paramPrefix)
}

// mismatch refuses a message whose headers say something else than its body. A server or a router could believe the headers. A header
// that is missing is a question for the server.
func mismatch(header http.Header, m message.Message) error {
	if method := header.Get(methodHeader); method != "" && method != m.Method {
		return different(methodHeader, m)
	}
	return nil
}

// callMismatch is mismatch for the headers of a call.
func callMismatch(header http.Header, call message.Call) error {
	if name := header.Get(nameHeader); name != "" && name != call.Tool {
		if plain, encoded := decode(name); !encoded || plain != call.Tool {
			return different(nameHeader, call.Message)
		}
	}
	if version := header.Get(versionHeader); version != "" && call.Version != "" && version != call.Version {
		return different(versionHeader, call.Message)
	}
	var arguments any
	for name := range header {
		if !strings.HasPrefix(name, paramPrefix) {
			continue
		}
		if arguments == nil {
			arguments = values(call.Arguments)
		}
		value := header.Get(name)
		if plain, encoded := decode(value); encoded {
			value = plain
		}
		if !contains(arguments, value) {
			return different(name, call.Message)
		}
	}
	return nil
}

func different(header string, m message.Message) error {
	return &message.Refusal{Code: message.CodeHeaderMismatch, Reason: "the header " + header + " is not the value in the message", ID: m.ID}
}

// decode reads a header value with the form =?base64?…?=.
func decode(value string) (plain string, encoded bool) {
	inner, prefix := strings.CutPrefix(value, "=?base64?")
	inner, suffix := strings.CutSuffix(inner, "?=")
	if !prefix || !suffix {
		return "", false
	}
	text, err := base64.StdEncoding.Strict().DecodeString(inner)
	return string(text), err == nil
}

// values reads the arguments of a call.
func values(arguments json.RawMessage) any {
	decoder := json.NewDecoder(strings.NewReader(string(arguments)))
	decoder.UseNumber()
	var value any = map[string]any{}
	if decoder.Decode(&value) != nil {
		return map[string]any{}
	}
	return value
}

// contains reports whether text is the spelling of a text, a number or a boolean in value. Names of members do not count.
func contains(value any, text string) bool {
	switch value := value.(type) {
	case map[string]any:
		for _, member := range value {
			if contains(member, text) {
				return true
			}
		}
	case []any:
		for _, element := range value {
			if contains(element, text) {
				return true
			}
		}
	case string:
		return value == text
	case bool:
		return strconv.FormatBool(value) == text
	case json.Number:
		return value.String() == text || sameInteger(value.String(), text)
	}
	return false
}

// sameInteger compares spellings such as 42 and 42.0, in the range in which every float64 is exactly one integer.
func sameInteger(a, b string) bool {
	x, err := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	return err == nil && err2 == nil && x == y && math.Abs(x) < 1<<53 && x == math.Trunc(x)
}
