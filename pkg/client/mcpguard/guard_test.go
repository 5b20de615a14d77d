package mcpguard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/pkg/client/mcpguard"
)

const (
	legacy = "2025-11-25"
	modern = "2026-07-28"
)

// site is a server with the guarded tool transfer, and a double of Countersign. The skill pay needs an approval.
type site struct {
	t      *testing.T
	double *clienttest.Countersign
	guard  *mcpguard.Guard
	server *mcp.Server
	log    bytes.Buffer

	mu  sync.Mutex
	ran []string
}

func start(t *testing.T, more ...func(*mcpguard.Config)) *site {
	t.Helper()
	s := &site{t: t, double: clienttest.New(t)}
	s.double.Mode("approval", "pay")
	c := mcpguard.Config{Countersign: s.countersign(), Customer: clienttest.Customer, Log: slog.New(slog.NewJSONHandler(&s.log, nil))}
	for _, change := range more {
		change(&c)
	}
	var err error
	if s.guard, err = mcpguard.New(c); err != nil {
		t.Fatal(err)
	}
	s.server = mcp.NewServer(&mcp.Implementation{Name: "bank", Version: "1"}, nil)
	s.server.AddTool(tool("transfer"), s.guard.Tool("pay", s.execute))
	return s
}

func (s *site) countersign() client.Config {
	return client.Config{URL: s.double.URL, Instance: clienttest.Instance, ProxyKey: client.NewSecret(clienttest.ProxyKey)}
}

func tool(name string) *mcp.Tool {
	return &mcp.Tool{Name: name, Description: "Sends money.", InputSchema: json.RawMessage(`{"type":"object"}`)}
}

func short(c *mcpguard.Config) { c.Wait = 10 * time.Millisecond }

// execute is the handler of the tool. It records what it ran.
func (s *site) execute(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	s.record(ctx, req)
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "sent"}}}, nil
}

func (s *site) record(ctx context.Context, req *mcp.CallToolRequest) {
	c, found := mcpguard.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ran = append(s.ran, fmt.Sprintf("%s %t %s", req.Params.Arguments, found, c.Receipt.Reveal()))
}

func (s *site) executions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.ran...)
}

// want fails if the tool did not run exactly so, each time with the arguments and the receipt of the approval with this index.
func (s *site) want(approvals ...int) {
	s.t.Helper()
	var want []string
	for _, i := range approvals {
		a := s.double.Approvals()[i]
		want = append(want, a.Arguments+" true receipt.canary."+a.ID)
	}
	if got := s.executions(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		s.t.Errorf("ran %q, want %q; approvals %+v", got, want, s.double.Approvals())
	}
}

// connect connects a client. way is "memory" or "http".
func (s *site) connect(way, version string, options *mcp.ClientOptions) *mcp.ClientSession {
	s.t.Helper()
	c := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, options)
	var transport mcp.Transport
	if way == "http" {
		handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s.server }, &mcp.StreamableHTTPOptions{
			Stateless: version == modern, PropagateRequestCancellation: true,
		})
		server := httptest.NewServer(handler)
		s.t.Cleanup(server.Close)
		transport = &mcp.StreamableClientTransport{Endpoint: server.URL}
	} else {
		var here mcp.Transport
		transport, here = mcp.NewInMemoryTransports()
		if _, err := s.server.Connect(s.t.Context(), here, nil); err != nil {
			s.t.Fatal(err)
		}
	}
	session, err := c.Connect(s.t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { session.Close() })
	if got := session.InitializeResult().ProtocolVersion; got != version {
		s.t.Fatalf("the version is %s", got)
	}
	return session
}

func params() *mcp.CallToolParams {
	return &mcp.CallToolParams{Name: "transfer", Arguments: json.RawMessage(`{"to":"Bob","amount":1.0}`)}
}

func (s *site) call(c *mcp.ClientSession, p *mcp.CallToolParams) *mcp.CallToolResult {
	s.t.Helper()
	result, err := c.CallTool(s.t.Context(), p)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func text(result *mcp.CallToolResult) string {
	var all string
	for _, c := range result.Content {
		all += c.(*mcp.TextContent).Text
	}
	return all
}

// refused fails if the result is not a text about a call that did not run.
func (s *site) refused(result *mcp.CallToolResult, contains string) {
	s.t.Helper()
	if !result.IsError || result.StructuredContent != nil || !strings.HasPrefix(text(result), hold.NotExecuted) || !strings.Contains(text(result), contains) {
		s.t.Errorf("%+v: %q", result, text(result))
	}
}

// eliciting are the options of a client that can show links.
func eliciting(show func(link string) (string, error)) *mcp.ClientOptions {
	return &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{URL: &mcp.URLElicitationCapabilities{}}},
		ElicitationHandler: func(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			action, err := show(req.Params.URL)
			return &mcp.ElicitResult{Action: action}, err
		},
	}
}

// each runs a test with both eras and both transports.
func each(t *testing.T, test func(t *testing.T, way, version string)) {
	for _, way := range []string{"memory", "http"} {
		for _, version := range []string{legacy, modern} {
			t.Run(way+" "+version, func(t *testing.T) {
				t.Parallel()
				test(t, way, version)
			})
		}
	}
}

func TestElicitation(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, way, version string) {
		s := start(t)
		complete := make(chan string, 1)
		options := eliciting(func(link string) (string, error) {
			if want := clienttest.Link + s.double.Approvals()[0].ID; link != want {
				t.Errorf("the link is %s, want %s", link, want)
			}
			s.double.Decide("approved")
			return "accept", nil
		})
		options.ElicitationCompleteHandler = func(_ context.Context, n *mcp.ElicitationCompleteNotificationRequest) {
			complete <- n.Params.ElicitationID
		}
		c := s.connect(way, version, options)
		if result := s.call(c, params()); result.IsError || text(result) != "sent" {
			t.Errorf("%q", text(result))
		}
		s.want(0)
		if arguments := s.double.Approvals()[0].Arguments; arguments != `{"amount":1,"to":"Bob"}` {
			t.Errorf("approved: %s", arguments)
		}
		if version == legacy && <-complete == "" {
			t.Error("the end of the elicitation has no id")
		}
	})
}

func TestAcceptOfTheClientProvesNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, way, version string) {
		s := start(t, short)
		options := eliciting(func(string) (string, error) { return "accept", nil })
		options.MultiRoundTrip = &mcp.MultiRoundTripOptions{Disabled: true}
		c := s.connect(way, version, options)
		result := s.call(c, params())
		if version == legacy {
			s.refused(result, clienttest.Link)
		} else {
			again := params()
			again.InputResponses, again.RequestState = mcp.InputResponseMap{"countersign": &mcp.ElicitResult{Action: "accept"}}, result.RequestState
			if result = s.call(c, again); !result.NeedsInput() || len(result.InputRequests) != 1 {
				t.Errorf("%+v", result)
			}
		}
		s.want()
		if all := s.double.Approvals(); len(all) != 1 || all[0].Status != "pending" {
			t.Errorf("approvals %+v", all)
		}
	})
}

func TestDeclineOfTheClientCancelsTheApproval(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, way, version string) {
		for _, action := range []string{"decline", "cancel"} {
			s := start(t)
			c := s.connect(way, version, eliciting(func(string) (string, error) { return action, nil }))
			s.refused(s.call(c, params()), "cancelled")
			s.want()
			if all := s.double.Approvals(); len(all) != 1 || all[0].Status != "cancelled" {
				t.Errorf("%s: approvals %+v", action, all)
			}
		}
	})
}

func TestElicitationThatFailsFallsBackToText(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.connect("memory", legacy, eliciting(func(string) (string, error) { return "", errors.New("no window") }))
	s.refused(s.call(c, params()), clienttest.Link+s.double.Approvals()[0].ID)
	s.want()
}

func TestElicitationThatFailsFallsBackToProgress(t *testing.T) {
	t.Parallel()
	s := start(t)
	options := eliciting(func(string) (string, error) { return "", errors.New("no window") })
	options.ProgressNotificationHandler = func(context.Context, *mcp.ProgressNotificationClientRequest) { s.double.Decide("approved") }
	p := params()
	p.SetProgressToken(1)
	if result := s.call(s.connect("memory", legacy, options), p); result.IsError {
		t.Errorf("%q", text(result))
	}
	s.want(0)
}

func TestProgress(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, way, version string) {
		s := start(t)
		s.guard.SetProgressPause(time.Millisecond)
		last, count := -2.0, 0
		c := s.connect(way, version, &mcp.ClientOptions{
			ProgressNotificationHandler: func(_ context.Context, n *mcp.ProgressNotificationClientRequest) {
				if link := clienttest.Link + s.double.Approvals()[0].ID; !strings.Contains(n.Params.Message, link) || n.Params.Progress <= last || n.Params.Progress >= 0 {
					t.Errorf("%+v after %v", n.Params, last)
				}
				last = n.Params.Progress
				if count++; count == 3 {
					s.double.Decide("approved")
				}
			},
		})
		p := params()
		p.SetProgressToken("token")
		if result := s.call(c, p); result.IsError {
			t.Errorf("%q", text(result))
		}
		s.want(0)
	})
}

func TestText(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, way, version string) {
		s := start(t)
		c := s.connect(way, version, nil)
		s.refused(s.call(c, params()), clienttest.Link+s.double.Approvals()[0].ID)
		// The second call waits for the person.
		var once sync.Once
		s.double.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if wait := r.URL.Query().Get("wait"); wait != "" && wait != "0" {
				once.Do(func() { s.double.Decide("approved") })
			}
			return false
		})
		if result := s.call(c, params()); result.IsError {
			t.Errorf("%q", text(result))
		}
		s.want(0)
		s.refused(s.call(c, params()), clienttest.Link+s.double.Approvals()[1].ID)
		s.want(0)
	})
}

func TestPersonSaysNo(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, way, version string) {
		s := start(t)
		s.double.Answer("denied")
		c := s.connect(way, version, eliciting(func(string) (string, error) { return "accept", nil }))
		s.refused(s.call(c, params()), "denied")
		s.want()
	})
}

func TestOpenCallRunsAsItWasSent(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, way, version string) {
		s := start(t)
		s.double.Mode("open", "pay")
		c := s.connect(way, version, nil)
		if result := s.call(c, params()); result.IsError {
			t.Errorf("%q", text(result))
		}
		if ran := s.executions(); len(ran) != 1 || ran[0] != `{"to":"Bob","amount":1.0} true ` || len(s.double.Approvals()) != 0 {
			t.Errorf("ran %q", ran)
		}
	})
}

func TestSessionOpensFurtherCalls(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, way, version string) {
		s := start(t)
		s.double.Mode("session", "pay")
		shown := 0
		c := s.connect(way, version, eliciting(func(string) (string, error) { shown++; s.double.Decide("approved"); return "accept", nil }))
		for range 2 {
			if result := s.call(c, params()); result.IsError {
				t.Errorf("%q", text(result))
			}
		}
		if ran := s.executions(); len(ran) != 2 || ran[1] != `{"to":"Bob","amount":1.0} true ` || shown != 1 || s.double.Approvals()[0].Arguments != "{}" {
			t.Errorf("ran %q, %d links, approvals %+v", ran, shown, s.double.Approvals())
		}
	})
}

func TestParallelCallsNeedTheirOwnApprovals(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, way, version string) {
		s := start(t)
		c := s.connect(way, version, nil)
		s.refused(s.call(c, params()), clienttest.Link)
		s.double.Decide("approved")
		s.double.Answer("denied") // so that the other calls end
		results := make(chan *mcp.CallToolResult, 6)
		for range cap(results) {
			go func() {
				result, err := c.CallTool(t.Context(), params())
				if err != nil {
					t.Error(err)
				}
				results <- result
			}()
		}
		ran := 0
		for range cap(results) {
			if result := <-results; result != nil && !result.IsError {
				ran++
			}
		}
		if ran != 1 {
			t.Errorf("%d calls ran", ran)
		}
		s.want(0)
	})
}
