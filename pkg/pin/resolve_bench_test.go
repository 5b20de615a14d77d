package pin_test

import (
	"testing"

	"github.com/countersign/countersign/pkg/pin"
)

// The query of Resolve is the hot path: check-required and verify run it once for each request.
func BenchmarkResolve(b *testing.B) {
	w := newWorld(b)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	name := "payments.transfer"
	for b.Loop() {
		if _, err := w.verifier.Resolve(b.Context(), w.key, w.subject(), nil, &name); err != nil {
			b.Fatal(err)
		}
	}
}
