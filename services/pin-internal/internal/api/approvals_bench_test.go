package api_test

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// BenchmarkAsk compares asking for a new approval, asking again, and check-required, in turns. The result is the median of each,
// and the median of asking divided by that of check-required.
func BenchmarkAsk(b *testing.B) {
	s := newPayingService(b)
	took := map[string][]time.Duration{}
	measure := func(name string, status int, do func() (int, http.Header)) {
		start := time.Now()
		got, _ := do()
		took[name] = append(took[name], time.Since(start))
		if got != status {
			b.Fatalf("%s: answered %d, want %d", name, got, status)
		}
	}
	n := 0
	for b.Loop() {
		if n++; n%3 == 1 { // the limit of pending approvals
			s.customer = s.people.Customer()
			s.identity = s.people.Identity(s.customer, s.instance)
			s.setCustomerPIN()
		}
		body := object{"arguments": object{"to": "Ann", "amount": n}}
		measure("check", 200, func() (int, http.Header) {
			a := s.check("", "Pay")
			return a.Status, a.Header
		})
		measure("ask", 201, func() (int, http.Header) {
			a := s.ask(body)
			return a.Status, a.Header
		})
		measure("again", 200, func() (int, http.Header) {
			a := s.ask(body)
			return a.Status, a.Header
		})
	}
	median := map[string]float64{}
	for name, all := range took {
		slices.Sort(all)
		median[name] = float64(all[len(all)/2].Microseconds()) / 1000
		b.ReportMetric(median[name], name+"-p50-ms")
	}
	b.ReportMetric(median["ask"]/median["check"], "ask/check")
	b.ReportMetric(0, "ns/op")
}
