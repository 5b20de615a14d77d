package app

import (
	"context"
	"errors"
)

// gateway is the gate in front of a server.
type gateway struct {
	program    Program
	connection connection
	server     server
	holding    holding
	exposure   exposure
	dryRun     bool
}

func newGateway(p Program) *gateway {
	return &gateway{program: p, holding: newHolding(), exposure: exposure{listen: "127.0.0.1:8090"}}
}

func (g *gateway) add(f flags) {
	g.connection.add(f)
	g.holding.add(f)
	g.server.add(f)
	g.exposure.add(f)
	f.set.BoolVar(&g.dryRun, "dry-run", false, "print what the policy would do to each tool of the server, and end")
}

// run runs the gate until the client or the server ends, or ctx ends.
func (g *gateway) run(ctx context.Context, command []string) error {
	if err := g.server.setCommand(command); err != nil {
		return err
	}
	countersign, err := g.connection.open(newEnvironment(g.program.Env))
	if err != nil {
		return err
	}
	if g.dryRun {
		who, err := g.connection.person()
		if err != nil {
			return err
		}
		all, err := g.server.list(ctx, g.program)
		if err != nil {
			return err
		}
		return dryRun(ctx, countersign, who, g.connection.skillPrefix, all, g.program.Out)
	}
	if err := g.exposure.checkTokens(g.connection); err != nil {
		return err
	}
	return errors.New("not built in yet")
}
