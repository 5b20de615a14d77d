package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check asks one store whether it answers.
type Check func(ctx context.Context) error

// readyTime bounds one round of checks.
const readyTime = 2 * time.Second

// Operations is the handler of the operations port, which is never published: /healthz says that the process lives,
// /readyz that its stores answer, /metrics what it counted. Stores that are wanted but not needed (Redis) are reported
// and do not make a service unready.
func Operations(registry *prometheus.Registry, needed, wanted map[string]Check) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answerHealth(w, http.StatusOK, map[string]string{"process": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTime)
		defer cancel()
		status, report := http.StatusOK, map[string]string{}
		for name, check := range wanted {
			report[name] = verdict(check(ctx))
		}
		for name, check := range needed {
			if report[name] = verdict(check(ctx)); report[name] != "ok" {
				status = http.StatusServiceUnavailable
			}
		}
		answerHealth(w, status, report)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

func verdict(err error) string {
	if err != nil {
		return "away"
	}
	return "ok"
}

func answerHealth(w http.ResponseWriter, status int, report map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that hung up is nobody to report this to.
	_ = json.NewEncoder(w).Encode(report)
}
