// Package tools knows the tools of an MCP server: it lists them, proposes how the policy should judge them, and notices when they
// change. What a server says about its tools proves nothing, so nothing here decides about a call.
package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

const (
	// legacy is the last protocol version that begins with initialize. modern is the first version without it.
	legacy = "2025-11-25"
	modern = "2026-07-28"
	// maxTools and maxPages limit what a server can make the gate read.
	maxTools, maxPages = 10_000, 1_000
	// maxMessage is the largest message of a server in bytes.
	maxMessage = 16 << 20
)

// Tool is a tool as its server describes it.
type Tool struct {
	Name, Title, Description string
	InputSchema              json.RawMessage
	// ReadOnly and Destructive are annotations. Nil means that the server does not say it, or not as a boolean.
	ReadOnly, Destructive *bool
}

// request is what is sent to a server. ID 0 means a notification.
type request struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id,omitempty"`
	Method  string `json:"method"`
	Params  any    `json:"params,omitempty"`
}

// response is what a server sends. Method is not empty if it is a request or a notification of the server.
type response struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code int `json:"code"`
	} `json:"error"`
}

// Server is a way to an MCP server. The implementations are Command and Remote.
type Server interface {
	// exchange sends a request and returns the result of its response. For a notification, it returns nil at once.
	exchange(ctx context.Context, r request) (json.RawMessage, error)
	// agreed says which version initialize agreed on, or that there is none: modern.
	agreed(version string)
	// Close ends the connection, and the process if there is one.
	Close()
}

// failure is an error that a server answered: a JSON-RPC error, without its text, which the server chooses, or an HTTP status.
type failure struct {
	kind string
	code int
}

func (f failure) Error() string {
	return fmt.Sprintf("the server answered with the %s %d", f.kind, f.code)
}

// result returns the result of a response, or its error.
func (r response) result() (json.RawMessage, error) {
	switch {
	case r.Error != nil:
		return nil, failure{"error", r.Error.Code}
	case r.Result == nil:
		return nil, errors.New("the server's answer has neither a result nor an error")
	}
	return r.Result, nil
}

// List returns the tools of a server, in its order. It speaks both eras of the protocol. Give ctx a deadline.
func List(ctx context.Context, s Server) ([]Tool, error) {
	meta, err := begin(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("beginning with the server: %w", err)
	}
	var all []Tool
	cursor, seen := "", map[string]bool{}
	for page := 0; page < maxPages; page++ {
		params := map[string]any{}
		if cursor != "" {
			params["cursor"] = cursor
		}
		if meta != nil {
			params["_meta"] = meta
		}
		raw, err := s.exchange(ctx, request{ID: page + 2, Method: "tools/list", Params: params})
		if err != nil {
			return nil, fmt.Errorf("listing the tools of the server: %w", err)
		}
		found, next, err := readPage(raw)
		if err != nil {
			return nil, fmt.Errorf("listing the tools of the server: %w", err)
		}
		if all = append(all, found...); len(all) > maxTools {
			return nil, fmt.Errorf("the server has more than %d tools", maxTools)
		}
		if next == "" {
			return all, nil
		}
		if seen[next] {
			return nil, errors.New("the server's list of tools has no end: a cursor repeats")
		}
		seen[next], cursor = true, next
	}
	return nil, fmt.Errorf("the server's list of tools has more than %d pages", maxPages)
}

// begin initializes the connection. It returns the _meta that each request needs, or nil. A server of the modern era answers
// initialize with an error.
func begin(ctx context.Context, s Server) (meta map[string]any, err error) {
	about := map[string]string{"name": "countersign-gate", "version": "1"}
	raw, err := s.exchange(ctx, request{ID: 1, Method: "initialize", Params: map[string]any{
		"protocolVersion": legacy, "capabilities": map[string]any{}, "clientInfo": about,
	}})
	if errors.As(err, new(failure)) {
		s.agreed(modern)
		return map[string]any{
			"io.modelcontextprotocol/protocolVersion": modern, "io.modelcontextprotocol/clientInfo": about,
			"io.modelcontextprotocol/clientCapabilities": map[string]any{},
		}, nil
	}
	if err != nil {
		return nil, err
	}
	var content struct {
		ProtocolVersion string `json:"protocolVersion"`
	}
	if json.Unmarshal(raw, &content) != nil || content.ProtocolVersion == "" {
		return nil, errors.New("the server's answer to initialize has no protocolVersion")
	}
	s.agreed(content.ProtocolVersion)
	_, err = s.exchange(ctx, request{Method: "notifications/initialized"})
	return nil, err
}

// readPage reads the result of tools/list.
func readPage(raw json.RawMessage) (found []Tool, next string, err error) {
	described, next, err := readDescriptions(raw)
	if err != nil {
		return nil, "", err
	}
	for i, d := range described {
		if d.Name == "" {
			return nil, "", fmt.Errorf("tool %d of the page has no name", i+1)
		}
		title := d.Title
		var annotated string
		if json.Unmarshal(d.Annotations["title"], &annotated) == nil && title == "" {
			title = annotated
		}
		found = append(found, Tool{
			Name: d.Name, Title: title, Description: d.Description, InputSchema: d.InputSchema,
			ReadOnly: boolean(d.Annotations["readOnlyHint"]), Destructive: boolean(d.Annotations["destructiveHint"]),
		})
	}
	return slices.Clip(found), next, nil
}

// description is a tool in the result of tools/list.
type description struct {
	Name        string                     `json:"name"`
	Title       string                     `json:"title"`
	Description string                     `json:"description"`
	InputSchema json.RawMessage            `json:"inputSchema"`
	Annotations map[string]json.RawMessage `json:"annotations"`
}

func readDescriptions(raw json.RawMessage) ([]description, string, error) {
	var content struct {
		Tools *[]description `json:"tools"`
		Next  string         `json:"nextCursor"`
	}
	if json.Unmarshal(raw, &content) != nil || content.Tools == nil {
		return nil, "", errors.New("the server's list of tools is not valid")
	}
	return *content.Tools, content.Next, nil
}

func boolean(raw json.RawMessage) *bool {
	var b bool
	if string(raw) != "true" && string(raw) != "false" {
		return nil
	}
	b = string(raw) == "true"
	return &b
}
