package service

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// check returns nil when a store answers.
type check func(ctx context.Context) error

// readyTime bounds the checks of one /readyz request.
const readyTime = 2 * time.Second

// operations is the handler of the operations port. /healthz says that the process runs, /readyz says whether its stores
// answer, and /metrics has the metrics. /readyz answers 503 when a required store does not answer. It only reports the state
// of an optional store.
func operations(registry *prometheus.Registry, required, optional map[string]check) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		report(w, http.StatusOK, map[string]string{"process": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTime)
		defer cancel()
		status, states := http.StatusOK, map[string]string{}
		for name, check := range optional {
			states[name] = state(check(ctx))
		}
		for name, check := range required {
			if states[name] = state(check(ctx)); states[name] != "ok" {
				status = http.StatusServiceUnavailable
			}
		}
		report(w, status, states)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

func state(err error) string {
	if err != nil {
		return "unreachable"
	}
	return "ok"
}

func report(w http.ResponseWriter, status int, states map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(states) // fails only when the client has disconnected
}
