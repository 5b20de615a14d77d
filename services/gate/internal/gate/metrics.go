package gate

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/services/gate/internal/message"
)

// Metrics are the metrics of the gate's decisions.
type Metrics struct {
	calls   *prometheus.CounterVec
	refused *prometheus.CounterVec
	check   prometheus.Histogram
	waiting prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_gate_calls_total", Help: "Calls of tools, by decision.",
		}, []string{"decision"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_gate_messages_refused_total", Help: "Messages of clients that were refused, by reason.",
		}, []string{"reason"}),
		check: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "countersign_gate_check_seconds", Help: "Time until Countersign said whether a call may run at once.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20},
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "countersign_gate_calls_waiting", Help: "Calls that wait for the person now.",
		}),
	}
	registry.MustRegister(m.calls, m.refused, m.check, m.waiting)
	for _, decision := range []string{"open", "session", "approved", "pending", "denied", "refused", "unavailable", "cancelled"} {
		m.calls.WithLabelValues(decision)
	}
	return m
}

// MessageRefused counts a message of a client that was refused before it was judged.
func (m *Metrics) MessageRefused(r *message.Refusal) {
	reason := "other"
	switch r.Code {
	case message.CodeParse:
		reason = "unreadable"
	case message.CodeInvalidRequest:
		reason = "invalid_message"
	case message.CodeInvalidParams:
		reason = "invalid_params"
	case message.CodeHeaderMismatch:
		reason = "header_mismatch"
	}
	m.refused.WithLabelValues(reason).Inc()
}

func (m *Metrics) checked(since time.Time) { m.check.Observe(time.Since(since).Seconds()) }

// waits counts a call that waits until the returned function is called.
func (m *Metrics) waits() (done func()) {
	m.waiting.Inc()
	return m.waiting.Dec
}
