package mcpguard_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/mcpguard"
)

// bearer sends a token with each request.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

func TestPersonOfTheVerifiedToken(t *testing.T) {
	t.Parallel()
	var countersign *client.Client
	s := start(t, func(c *mcpguard.Config) {
		c.Customer = ""
		c.Person = func(ctx context.Context, req *mcp.CallToolRequest) (client.Person, error) {
			if req.Extra == nil || req.Extra.TokenInfo == nil {
				return client.Person{}, errors.New("no token")
			}
			return countersign.Lookup(ctx, "workforce", req.Extra.TokenInfo.UserID)
		}
	})
	var err error
	if countersign, err = client.New(s.countersign()); err != nil {
		t.Fatal(err)
	}
	s.double.Account("workforce", "alice", "identity-a", "customer-a")
	s.double.Account("workforce", "bob", "identity-b", "customer-b")

	verify := func(_ context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
		user, found := strings.CutPrefix(token, "token-of-")
		if !found {
			return nil, auth.ErrInvalidToken
		}
		return &auth.TokenInfo{UserID: user, Expiration: time.Now().Add(time.Hour)}, nil
	}
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s.server }, &mcp.StreamableHTTPOptions{Stateless: true})
	server := httptest.NewServer(auth.RequireBearerToken(verify, nil)(handler))
	t.Cleanup(server.Close)
	as := func(user string) *mcp.ClientSession {
		transport := &mcp.StreamableClientTransport{Endpoint: server.URL, HTTPClient: &http.Client{Transport: bearer("token-of-" + user)}}
		c, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, manual()).Connect(t.Context(), transport, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	state := s.call(as("alice"), params()).RequestState
	s.double.Decide("approved")
	s.invalid(as("bob"), with(state))
	s.refused(s.call(as("mallory"), params()), "on whose behalf")
	if result := s.call(as("bob"), params()); !result.NeedsInput() {
		t.Errorf("the approval of another person opens a call: %q", text(result))
	}
	s.want()
	if result := s.call(as("alice"), with(state)); result.IsError {
		t.Errorf("%q", text(result))
	}
	s.want(0)
	if a := s.double.Approvals()[0]; a.Customer != "customer-a" || a.Identity != "identity-a" {
		t.Errorf("%+v", a)
	}
}
