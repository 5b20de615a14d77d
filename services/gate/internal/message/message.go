// Package message reads and writes the JSON-RPC messages of the Model Context Protocol that the gate must understand. It reads
// strictly: a message that two programs could read in two ways is refused.
package message

import (
	"encoding/json"
	"fmt"
)

// Codes of JSON-RPC errors.
const (
	CodeParse          = -32700 // JSON-RPC 2.0
	CodeInvalidRequest = -32600 // JSON-RPC 2.0
	CodeInvalidParams  = -32602 // JSON-RPC 2.0
	CodeRefused        = -32000 // the range for implementations of JSON-RPC 2.0
	CodeHeaderMismatch = -32020 // MCP 2026-07-28
)

// ToolsCall is the method that the gate judges.
const ToolsCall = "tools/call"

// Refusal says why a message of a client is refused. It is safe to show: it repeats no value of the message.
type Refusal struct {
	Code   int
	Reason string
	// ID is the id of the request if it could be read, and nil otherwise.
	ID json.RawMessage
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused message (%d): %s", r.Code, r.Reason) }

// Message is one JSON-RPC message. A request has an ID and a Method, a notification has a Method, and a response has neither a
// Method nor Params.
type Message struct {
	// Raw is the message as it was sent.
	Raw []byte
	// ID is the id as it was sent, or nil.
	ID     json.RawMessage
	Method string
	// Params, Result and Error are nil if they are absent.
	Params, Result, Error json.RawMessage
}

// IsRequest reports whether the message expects a response.
func (m Message) IsRequest() bool { return m.Method != "" && m.ID != nil }

// IsNotification reports whether the message has a method and expects no response.
func (m Message) IsNotification() bool { return m.Method != "" && m.ID == nil }

// IsResponse reports whether the message has a result or an error. Its ID is nil only if it has an error.
func (m Message) IsResponse() bool { return m.Method == "" }
