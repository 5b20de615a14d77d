package app

import (
	"context"
	"errors"
	"net/url"

	"github.com/countersign/countersign/services/gate/internal/tools"
)

// server is the MCP server behind the gate: a command or a URL.
type server struct {
	upstream *url.URL
	command  []string
}

func (s *server) add(f flags) {
	f.endpoint(&s.upstream, "upstream", "COUNTERSIGN_GATE_UPSTREAM", "the URL of a server with streamable HTTP, instead of a command")
}

// setCommand sets the command, and returns a usageError unless there is exactly one server.
func (s *server) setCommand(args []string) error {
	s.command = args
	switch {
	case len(args) == 0 && s.upstream == nil:
		return usageError{errors.New("the server is missing: write -- and its command at the end, or give its URL with --upstream")}
	case len(args) > 0 && s.upstream != nil:
		return usageError{errors.New("there are two servers: give a command, or --upstream (COUNTERSIGN_GATE_UPSTREAM), not both")}
	}
	return nil
}

// list returns the tools of the server.
func (s *server) list(ctx context.Context, p Program) ([]tools.Tool, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	token, err := newEnvironment(p.Env).secret("COUNTERSIGN_GATE_UPSTREAM_TOKEN")
	if err != nil {
		return nil, err
	}
	if s.upstream != nil {
		remote := tools.Dial(s.upstream, token)
		defer remote.Close()
		return tools.List(ctx, remote)
	}
	command, err := tools.Start(s.command, forServer(p.Env), p.Err)
	if err != nil {
		return nil, err
	}
	defer command.Close()
	return tools.List(ctx, command)
}
