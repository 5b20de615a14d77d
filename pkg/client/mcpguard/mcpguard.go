// Package mcpguard holds calls of a tool of a Go MCP server until the person approved them.
package mcpguard

import (
	_ "github.com/countersign/countersign/pkg/client/hold"
	_ "github.com/modelcontextprotocol/go-sdk/mcp"
)
