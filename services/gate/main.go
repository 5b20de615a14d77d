// Command countersign-gate stands in front of an MCP server. It holds calls of protected tools until the person approved them.
package main

func main() {}
