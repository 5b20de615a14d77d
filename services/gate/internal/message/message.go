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

// Message is one JSON-RPC message from a client. A request has an ID and a Method, a notification has a Method, a response has an ID.
type Message struct {
	// Raw is the message as it was sent.
	Raw []byte
	// ID is the id as it was sent, or nil.
	ID     json.RawMessage
	Method string
	// Params, Result and Error are nil if they are absent.
	Params, Result, Error json.RawMessage
}

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
}
