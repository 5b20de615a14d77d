package mcpguard_test

import (
	"context"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func TestCancelledCallDoesNotRun(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, way, version string) {
		s := start(t)
		guarded, ended := s.guard.Tool("pay", s.execute), make(chan struct{}, 1)
		s.server.AddTool(tool("transfer"), func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			defer func() { ended <- struct{}{} }()
			return guarded(ctx, req)
		})
		ctx, cancel := context.WithCancel(t.Context())
		c := s.connect(way, version, &mcp.ClientOptions{ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) { cancel() }})
		p := params()
		p.SetProgressToken("token")
		if result, err := c.CallTool(ctx, p); err == nil {
			t.Errorf("%q", text(result))
		}
		<-ended
		s.want()
		if all := s.double.Approvals(); len(all) != 1 || all[0].Status != "pending" {
			t.Errorf("approvals %+v", all)
		}
		s.double.Decide("approved")
		if result := s.call(c, params()); result.IsError {
			t.Errorf("the same call again: %q", text(result))
		}
		<-ended
		s.want(0)
	})
}
