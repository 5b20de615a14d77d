package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/bearer"
	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/proxy"
	"github.com/countersign/countersign/services/gate/internal/state"
	"github.com/countersign/countersign/services/gate/internal/stdio"
	"github.com/countersign/countersign/services/gate/internal/tools"
)

// gateway is the gate in front of a server.
type gateway struct {
	program    Program
	connection connection
	server     server
	holding    holding
	exposure   exposure
	state      string
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
	f.text(&g.state, "state", "COUNTERSIGN_GATE_STATE", "folder",
		"the folder that keeps approvals and sessions, encrypted, for the next gate (default in front of a child process: the user's state folder)")
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
	return g.serve(ctx, countersign)
}

// serve stands between the client and the server.
func (g *gateway) serve(ctx context.Context, countersign *client.Client) error {
	logs := newLogWriter(g.program.Err)
	defer logs.Close()
	log := slog.New(slog.NewJSONHandler(logs, nil)).With("service", "gate")
	verifier, person, err := g.callers(countersign)
	if err != nil {
		return err
	}
	sealer, err := hold.NewSealer(g.connection.proxyKey)
	if err != nil {
		return err
	}
	memory, err := g.memory(sealer, log)
	if err != nil {
		return err
	}
	step, err := gate.ParseStep(g.holding.bestStep)
	if err != nil {
		return err
	}
	registry := newRegistry()
	metrics := gate.NewMetrics(registry)
	pins, err := tools.OpenPins(g.exposure.pinsFile, log, registry)
	if err != nil {
		return usageError{err}
	}
	if g.exposure.metricsListen != "" {
		stop, err := serveOperations(g.exposure.metricsListen, registry, log)
		if err != nil {
			return err
		}
		defer stop()
	}
	judge := gate.New(gate.Config{
		Holder: hold.New(countersign, memory), Sealer: sealer, Wait: g.holding.wait, BestStep: step,
		Audience: g.connection.audience, SkillPrefix: g.connection.skillPrefix, Log: log, Metrics: metrics, Approved: pins.Approved,
	})
	if g.server.upstream == nil {
		code, err := stdio.Run(ctx, stdio.Settings{
			Command: g.server.command, Environment: forServer(g.program.Env), Person: person, MaxMessage: g.holding.maxMessage, Log: log, Listed: pins.Listed, Refused: metrics.MessageRefused,
		}, judge, g.program.In, g.program.Out, g.program.Err)
		if err != nil {
			return err
		}
		return exitCode(code)
	}
	handler, err := proxy.New(proxy.Settings{
		Upstream: g.server.upstream, AllowHosts: g.exposure.allowHosts, AllowOrigins: g.exposure.allowOrigins, MaxMessage: g.holding.maxMessage,
		PublicURL: g.exposure.publicURL, Person: person, Tokens: verifier, Sealer: sealer, Log: log, Refused: metrics.MessageRefused, Tools: pins.Response,
	}, judge)
	if err != nil {
		return usageError{err}
	}
	listener, err := net.Listen("tcp", g.exposure.listen)
	if err != nil {
		return fmt.Errorf("the address of --listen: %w", err)
	}
	log.Info("ready", "addr", listener.Addr().String())
	return proxy.Serve(ctx, listener, handler, log)
}

// memory returns where the gate remembers approvals and sessions, or nil: until it ends. Some clients start their server, and so the
// gate, for each call.
func (g *gateway) memory(sealer *hold.Sealer, log *slog.Logger) (hold.Memory, error) {
	folder := g.state
	if folder == "" && g.server.upstream == nil {
		folder = stateFolder(newEnvironment(g.program.Env))
	}
	if folder == "" {
		return nil, nil
	}
	kept, err := state.Open(folder, sealer)
	if err != nil && g.state != "" {
		return nil, usageError{err}
	}
	if err != nil {
		log.Warn("approvals and sessions are remembered only until the gate ends", "reason", err.Error())
		return nil, nil
	}
	return kept, nil
}

// callers returns on whose behalf the clients act: a verifier of their access tokens, or one person. The error is a usageError.
func (g *gateway) callers(countersign *client.Client) (*bearer.Verifier, client.Person, error) {
	if g.exposure.tokenIssuer == "" {
		if err := g.exposure.noTokens(); err != nil {
			return nil, client.Person{}, err
		}
		person, err := g.connection.person()
		return nil, person, err
	}
	switch {
	case g.server.upstream == nil:
		return nil, client.Person{}, usageError{errors.New("--token-issuer needs --upstream: a client over standard input sends no access token")}
	case g.connection.customer != "":
		return nil, client.Person{}, usageError{errors.New("--customer and --token-issuer must not both be set: the customer is the subject of the token")}
	case g.exposure.tokenAudience == "":
		return nil, client.Person{}, missing("token-audience", "COUNTERSIGN_GATE_TOKEN_AUDIENCE")
	case g.exposure.tokenChannel == "":
		return nil, client.Person{}, missing("token-channel", "COUNTERSIGN_GATE_TOKEN_CHANNEL")
	}
	verifier, err := bearer.New(bearer.Settings{
		Issuer: g.exposure.tokenIssuer, JWKS: g.exposure.tokenJWKS, Audience: g.exposure.tokenAudience, Channel: g.exposure.tokenChannel,
	}, countersign)
	if err != nil {
		return nil, client.Person{}, usageError{err}
	}
	return verifier, client.Person{}, nil
}
