// Package gate decides what happens to the calls of tools: which of them run at once, how the person gets the link for the others,
// and what the client reads until the person has answered.
package gate

import (
	"context"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// Caller is the sender of a call.
type Caller struct {
	// Person is on whose behalf the client acts.
	Person client.Person
	// Version is the protocol version that initialize agreed on, or empty (2026-07-28 and later have no initialize).
	Version string
	// URLElicitation is true if the client's capabilities in initialize contain elicitation.url.
	URLElicitation bool
}

// Client is the way to the client of one call, while its answer is not sent. There is one implementation for each transport.
type Client interface {
	// CanReceive reports whether messages can be sent before the answer.
	CanReceive() bool
	// Send sends a request or a notification.
	Send(message []byte) error
}

// Verdict is what the transport must do with a call. Forward and Answer are both nil if nothing must be sent, because the client
// cancelled the call or is gone.
type Verdict struct {
	// Forward is sent to the server.
	Forward []byte
	// Answer is sent to the client, and nothing to the server.
	Answer []byte
	// Response returns what the client gets instead of the server's response to Forward. Nil: the response is not changed.
	Response func(response []byte) []byte
}

// Judge is what a transport needs of a Gate.
type Judge interface {
	// Judge decides about a call. It may wait for the person. ctx ends when the client cancels the call or is gone.
	Judge(ctx context.Context, from Caller, call message.Call, to Client) Verdict
	// Deliver takes a response of a client to a request that the gate sent. It returns false if the gate sent no such request; then
	// the response is for the server.
	Deliver(from Caller, response message.Message) bool
}
