package mcpguard_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/client/mcpguard"
)

// manual are the options of a client that can show links and does not continue calls by itself.
func manual() *mcp.ClientOptions {
	options := eliciting(func(string) (string, error) { return "accept", nil })
	options.MultiRoundTrip = &mcp.MultiRoundTripOptions{Disabled: true}
	return options
}

// invalid fails if the call is not refused because of its state.
func (s *site) invalid(c *mcp.ClientSession, p *mcp.CallToolParams) {
	s.t.Helper()
	result, err := c.CallTool(s.t.Context(), p)
	var refused *jsonrpc.Error
	if !errors.As(err, &refused) || refused.Code != jsonrpc.CodeInvalidParams {
		s.t.Errorf("%+v, %v", result, err)
	}
}

func with(state string, change ...func(*mcp.CallToolParams)) *mcp.CallToolParams {
	p := params()
	p.RequestState, p.InputResponses = state, mcp.InputResponseMap{"countersign": &mcp.ElicitResult{Action: "accept"}}
	for _, f := range change {
		f(p)
	}
	return p
}

func otherArguments(p *mcp.CallToolParams) { p.Arguments = json.RawMessage(`{"to":"Eve","amount":1}`) }

func TestStateOfAnotherCallIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *mcpguard.Config) {
		c.Customer = ""
		c.Person = func(ctx context.Context, req *mcp.CallToolRequest) (client.Person, error) {
			customer, _ := req.Params.Meta["customer"].(string) // a server must not do this: the client chooses it
			return client.Person{Customer: customer}, nil
		}
	})
	s.server.AddTool(tool("delete"), s.guard.Tool("pay", s.execute))
	c := s.connect("memory", modern, manual())
	alice := func(p *mcp.CallToolParams) { p.Meta = mcp.Meta{"customer": "alice"} }
	bob := func(p *mcp.CallToolParams) { p.Meta = mcp.Meta{"customer": "bob"} }
	first := params()
	alice(first)
	state := s.call(c, first).RequestState
	s.double.Decide("approved")
	if strings.Contains(state, s.double.Approvals()[0].ID) || strings.Contains(state, "alice") {
		t.Errorf("the state can be read: %s", state)
	}
	s.invalid(c, with(state, alice, otherArguments))
	s.invalid(c, with(state, bob))
	s.invalid(c, with(state, alice, func(p *mcp.CallToolParams) { p.Name = "delete" }))
	s.invalid(c, with(state[:len(state)-2], alice))
	s.invalid(c, with(state+"A", alice))
	s.invalid(c, with("csg1.", alice))
	s.invalid(c, with("csg2."+strings.TrimPrefix(state, "csg1."), alice))
	s.want()
	if result := s.call(c, with(state, alice)); result.IsError {
		t.Errorf("%q", text(result))
	}
	s.want(0)
	// The approval is used, so the same state asks again.
	if result := s.call(c, with(state, alice)); !result.NeedsInput() || len(s.double.Approvals()) != 2 {
		t.Errorf("%+v", result)
	}
	s.want(0)
}

func TestStateOfAnotherServerIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := start(t, func(c *mcpguard.Config) { c.Countersign.ProxyKey = client.NewSecret("csp_another") })
	c := s.connect("memory", modern, manual())
	state := s.call(c, params()).RequestState
	other.invalid(other.connect("memory", modern, manual()), with(state))
	// A second process with the same proxy key continues the call.
	s.double.Decide("approved")
	second := start(t, func(c *mcpguard.Config) { c.Countersign = s.countersign() })
	if result := second.call(second.connect("http", modern, manual()), with(state)); result.IsError || len(second.executions()) != 1 {
		t.Errorf("%q", text(result))
	}
}

// asking is a handler that asks for a name before it runs.
func (s *site) asking(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	s.record(ctx, req)
	if answer, ok := req.Params.InputResponses["name"].(*mcp.ElicitResult); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ran = append(s.ran, answer.Action+" "+req.Params.RequestState)
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "sent"}}}, nil
	}
	return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"name": &mcp.ElicitParams{Message: "Which name?"}}, RequestState: "own state"}, nil
}

func TestHandlerAsksForInputItself(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, way, version string) {
		s := start(t)
		s.server.AddTool(tool("transfer"), s.guard.Tool("pay", s.asking))
		options := eliciting(func(link string) (string, error) {
			if link != "" {
				s.double.Decide("approved")
			}
			return "accept", nil
		})
		options.Capabilities.Elicitation.Form = &mcp.FormElicitationCapabilities{}
		c := s.connect(way, version, options)
		if result := s.call(c, params()); result.IsError || text(result) != "sent" {
			t.Errorf("%q", text(result))
		}
		a := s.double.Approvals()
		run := a[0].Arguments + " true receipt.canary." + a[0].ID
		if want := []string{run, run, "accept own state"}; len(a) != 1 || strings.Join(s.executions(), "|") != strings.Join(want, "|") {
			t.Errorf("ran %q, want %q, approvals %+v", s.executions(), want, a)
		}
	})
}

func TestApprovedCallContinuesOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.server.AddTool(tool("transfer"), s.guard.Tool("pay", s.asking))
	s.double.Answer("approved")
	c := s.connect("memory", modern, manual())
	asked := s.call(c, with(s.call(c, params()).RequestState))
	if !asked.NeedsInput() || asked.InputRequests["name"] == nil || asked.RequestState == "own state" {
		t.Fatalf("%+v", asked)
	}
	next := func(state string, change ...func(*mcp.CallToolParams)) *mcp.CallToolParams {
		p := with(state, change...)
		p.InputResponses = mcp.InputResponseMap{"name": &mcp.ElicitResult{Action: "accept"}}
		return p
	}
	s.invalid(c, next(asked.RequestState, otherArguments))
	s.invalid(c, next(asked.RequestState+"A"))
	if result := s.call(c, next(asked.RequestState)); text(result) != "sent" {
		t.Errorf("%+v", result)
	}
	s.invalid(c, next(asked.RequestState))
	if ran := s.executions(); len(ran) != 3 || len(s.double.Approvals()) != 1 {
		t.Errorf("ran %q", ran)
	}
	// The state of the handler itself opens nothing.
	s.double.Answer("")
	if result := s.call(c, next("own state")); !result.NeedsInput() || result.InputRequests["countersign"] == nil || len(s.executions()) != 3 {
		t.Errorf("%+v, ran %q", result, s.executions())
	}
}

func TestOpenCallKeepsTheStateOfItsHandler(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.double.Mode("open", "pay")
	s.server.AddTool(tool("transfer"), s.guard.Tool("pay", s.asking))
	c := s.connect("http", modern, manual())
	asked := s.call(c, params())
	if asked.RequestState != "own state" {
		t.Fatalf("%+v", asked)
	}
	p := with(asked.RequestState)
	p.InputResponses = mcp.InputResponseMap{"name": &mcp.ElicitResult{Action: "accept"}}
	// The policy changes before the second request. What came with it reaches the handler after the approval.
	s.double.Mode("approval", "pay")
	held := s.call(c, p)
	if held.InputRequests["countersign"] == nil || len(s.executions()) != 1 {
		t.Fatalf("%+v, ran %q", held, s.executions())
	}
	s.double.Decide("approved")
	if result := s.call(c, with(held.RequestState)); text(result) != "sent" || s.executions()[2] != "accept own state" {
		t.Errorf("%+v, ran %q", result, s.executions())
	}
}

func TestCallsOfUnknownPersonsDoNotRun(t *testing.T) {
	t.Parallel()
	for name, person := range map[string]func(context.Context, *mcp.CallToolRequest) (client.Person, error){
		"an error": func(context.Context, *mcp.CallToolRequest) (client.Person, error) {
			return client.Person{Customer: clienttest.Customer}, errors.New("no such account")
		},
		"no customer": func(context.Context, *mcp.CallToolRequest) (client.Person, error) {
			return client.Person{Identity: "identity-a"}, nil
		},
		"nobody": func(context.Context, *mcp.CallToolRequest) (client.Person, error) { return client.Person{}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(c *mcpguard.Config) { c.Customer, c.Person = "", person })
			s.double.Mode("open", "pay")
			s.refused(s.call(s.connect("memory", modern, nil), params()), "on whose behalf")
			s.want()
			if !strings.Contains(s.log.String(), "the person of a call is not known") || len(s.double.Requests()) != 0 {
				t.Errorf("log %s, requests %q", s.log.String(), s.double.Requests())
			}
		})
	}
}
