// Command recorder is an MCP server without an SDK that reads carelessly and records what it ran.
package main

func main() {}
