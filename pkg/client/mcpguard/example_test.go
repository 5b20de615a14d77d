package mcpguard_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/client/mcpguard"
)

type transferInput struct {
	To     string `json:"to"`
	Amount string `json:"amount" jsonschema:"a decimal number, such as 250.00"`
}

func Example() {
	double, stop := clienttest.Start() // in a program: the Countersign of COUNTERSIGN_URL
	defer stop()
	double.Mode("approval", "payments.transfer")

	guard, err := mcpguard.New(mcpguard.Config{
		Countersign: client.Config{URL: double.URL, Instance: clienttest.Instance, ProxyKey: client.NewSecret(clienttest.ProxyKey)},
		Customer:    clienttest.Customer,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "bank", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "transfer", Description: "Sends money."}, mcpguard.For(guard, "payments.transfer",
		func(ctx context.Context, _ *mcp.CallToolRequest, in transferInput) (*mcp.CallToolResult, any, error) {
			confirmation, _ := mcpguard.FromContext(ctx)
			fmt.Println("the handler runs with", confirmation.Arguments, "and a receipt:", confirmation.Receipt.Reveal() != "")
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: in.Amount + " was sent to " + in.To}}}, nil, nil
		}))

	// A client that can open links. Here, the person approves as soon as the link is open.
	agent := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1.0.0"}, &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{URL: &mcp.URLElicitationCapabilities{}}},
		ElicitationHandler: func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			fmt.Println(r.Params.Message)
			double.Decide("approved")
			return &mcp.ElicitResult{Action: "accept"}, nil
		},
	})
	ctx := context.Background()
	here, there := mcp.NewInMemoryTransports()
	if _, err := server.Connect(ctx, here, nil); err != nil {
		fmt.Println(err)
		return
	}
	session, err := agent.Connect(ctx, there, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close()
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "transfer", Arguments: map[string]any{"to": "Bob", "amount": "250.00"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Content[0].(*mcp.TextContent).Text)
	// Output:
	// The call of transfer needs your approval. Run payments.transfer
	// the handler runs with {"amount":"250.00","to":"Bob"} and a receipt: true
	// 250.00 was sent to Bob
}

// A server over HTTP that serves several persons: the token of the request says who it is, and Countersign knows the account.
func ExampleConfig_person() {
	config := client.Config{URL: "http://pin-internal:8000", Instance: clienttest.Instance, ProxyKey: client.NewSecret("csp_…")}
	countersign, err := client.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := mcpguard.New(mcpguard.Config{
		Countersign: config,
		Person: func(ctx context.Context, req *mcp.CallToolRequest) (client.Person, error) {
			if req.Extra == nil || req.Extra.TokenInfo == nil || req.Extra.TokenInfo.UserID == "" {
				return client.Person{}, errors.New("the request has no verified token")
			}
			return countersign.Lookup(ctx, "workforce", req.Extra.TokenInfo.UserID)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "bank", Version: "1.0.0"}, nil)
	server.AddTool(&mcp.Tool{Name: "transfer", InputSchema: map[string]any{"type": "object"}}, guard.Tool("payments.transfer",
		func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{}, nil
		}))

	// Stateless is needed for clients of 2026-07-28. PropagateRequestCancellation ends a call that waits when its client is gone.
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{
		Stateless: true, PropagateRequestCancellation: true,
	})
	_ = auth.RequireBearerToken(verifyToken, nil)(handler) // give this handler to http.Server
}

// verifyToken stands for the verification of the tokens of your issuer.
func verifyToken(context.Context, string, *http.Request) (*auth.TokenInfo, error) {
	return nil, auth.ErrInvalidToken
}
