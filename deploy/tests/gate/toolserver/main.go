// Command toolserver is an MCP server, made with the official Go SDK, with three tools: look, pay, and order, which asks the client a
// question first. It writes one line for each call that it runs: the tool, the arguments and the receipt, separated by tabs.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type payment struct {
	To     string `json:"to"`
	Amount int    `json:"amount"`
}

// question asks for more input. The SDK sends it in the way of the client's protocol version.
func question() *mcp.CallToolResult {
	schema := map[string]any{"type": "object", "properties": map[string]any{"size": map[string]any{"type": "string"}}}
	return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"size": &mcp.ElicitParams{Message: "Which size?", RequestedSchema: schema}}, RequestState: "asked"}
}

func main() {
	record := flag.String("record", "", "the file to which calls are appended")
	address := flag.String("http", "", "serve streamable HTTP at this address instead of stdio")
	stateless := flag.Bool("stateless", false, "serve HTTP without sessions, as 2026-07-28 needs it")
	flag.Parse()
	file, err := os.OpenFile(*record, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "toolserver", Version: "1"}, nil)
	var mu sync.Mutex
	for _, tool := range []string{"look", "pay", "order"} {
		mcp.AddTool(server, &mcp.Tool{Name: tool}, func(_ context.Context, request *mcp.CallToolRequest, _ payment) (*mcp.CallToolResult, any, error) {
			if answer, ok := request.Params.InputResponses["size"].(*mcp.ElicitResult); tool == "order" && (!ok || answer.Action != "accept") {
				return question(), nil, nil
			}
			mu.Lock()
			defer mu.Unlock()
			receipt := request.Params.Meta["countersign/receipt"]
			if receipt == nil {
				receipt = ""
			}
			_, err := fmt.Fprintf(file, "%s\t%s\t%s\n", tool, request.Params.Arguments, receipt)
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "done: " + tool}}}, nil, err
		})
	}
	if *address == "" {
		err = server.Run(context.Background(), &mcp.StdioTransport{})
	} else {
		options := &mcp.StreamableHTTPOptions{Stateless: *stateless}
		err = http.ListenAndServe(*address, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, options))
	}
	if err != nil {
		log.Fatal(err)
	}
}
