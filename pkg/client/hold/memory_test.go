package hold

import (
	"testing"
	"time"
)

func TestMemoryForgetsOldValues(t *testing.T) {
	t.Parallel()
	m := newInProcess()
	now := time.Now()
	m.Put("old", []byte("x"), now.Add(-time.Second))
	m.Put("new", []byte("y"), now.Add(time.Hour))
	if m.Get("old") != nil || string(m.Get("new")) != "y" {
		t.Errorf("%q, %q", m.Get("old"), m.Get("new"))
	}
	m.purged = now.Add(-2 * time.Minute)
	m.Put("other", []byte("z"), now.Add(time.Hour))
	if _, kept := m.values["old"]; kept || len(m.values) != 2 {
		t.Errorf("%d values", len(m.values))
	}
	if m.Delete("new"); m.Get("new") != nil || m.Get("other") == nil {
		t.Error("Delete removes another value")
	}
}
