// Command countersign-gate runs in front of an MCP server. It holds the calls of protected tools until the person has approved them.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/countersign/countersign/services/gate/internal/app"
	"github.com/countersign/countersign/services/gate/internal/child"
)

// version is set when a release is built: go build -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	if child.IsSupervisor(os.Args) {
		os.Exit(child.Supervise())
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // a gate runs beside each client, so its memory matters more than its time
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(app.Program{Version: version, Args: os.Args[1:], Env: os.Environ(), In: os.Stdin, Out: os.Stdout, Err: os.Stderr}.Run(ctx))
}
