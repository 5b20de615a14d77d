// Package gate tests the MCP gate as whole processes, with the official clients and servers.
package gate

import (
	_ "github.com/countersign/countersign/pkg/client/clienttest" // used by the tests
	_ "github.com/countersign/countersign/pkg/testkit/localstores"
	_ "github.com/modelcontextprotocol/go-sdk/mcp"
)
