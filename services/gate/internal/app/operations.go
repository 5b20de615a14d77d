package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
)

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// serveOperations answers /healthz and /metrics at an address until stop is called. /healthz says that the process runs; a gate also runs
// while Countersign is unreachable, because it then refuses protected calls.
func serveOperations(address string, registry *prometheus.Registry, log *slog.Logger) (stop func(), err error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintln(w, `{"process":"ok"}`)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the address of --metrics-listen: %w", err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	log.Info("operations", "addr", listener.Addr().String())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // ends with stop
	}()
	return func() {
		server.Close()
		<-ended
	}, nil
}

func (p Program) healthCommand() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use: "health [flags]", DisableFlagsInUseLine: true, Short: "Ask the gate of this container or machine whether it runs", Args: noArguments,
		Long: `health asks a running gate for /healthz at the address of --metrics-listen. The exit code is 0 if it answers. It is for the health checks
of containers, whose image has no shell:

  docker run --health-cmd '/service health' …`,
	}
	f := p.flags(cmd)
	f.address(&address, "metrics-listen", "COUNTERSIGN_GATE_METRICS_LISTEN", "the address of /healthz and /metrics")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.fill(); err != nil {
			return err
		}
		if address == "" {
			return missing("metrics-listen", "COUNTERSIGN_GATE_METRICS_LISTEN")
		}
		return askHealth(cmd.Context(), address)
	}
	return cmd
}

func askHealth(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return usageError{err}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return usageError{err}
	}
	answer, err := (&http.Client{Transport: &http.Transport{}}).Do(request) // without a proxy
	if err != nil {
		return fmt.Errorf("asking the gate: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New("the gate is not healthy")
	}
	return nil
}
