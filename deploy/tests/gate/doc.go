// Package gate tests the MCP gate as whole processes. `make test` sends it raw messages, in front of a server that reads carelessly.
// `make gate-test` (build tag interop) uses the official conformance suite, clients and servers, which npm installs.
package gate
