package hold

import (
	"sync"
	"time"
)

// Memory keeps values between calls. Several goroutines may use it. Values are secret.
type Memory interface {
	// Get returns the value of a key, or nil if there is no value or it is too old.
	Get(key string) []byte
	Put(key string, value []byte, until time.Time)
	Delete(key string)
}

// inProcess is a Memory that ends with the process. It holds at most one session for each person, and the approvals of the last hour, whose
// number Countersign limits.
type inProcess struct {
	mu     sync.Mutex
	values map[string]entry
	// purged is when values that are too old were removed.
	purged time.Time
}

type entry struct {
	value []byte
	until time.Time
}

func newInProcess() *inProcess { return &inProcess{values: map[string]entry{}} }

func (m *inProcess) Get(key string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, found := m.values[key]; found && time.Now().Before(e.until) {
		return e.value
	}
	return nil
}

func (m *inProcess) Put(key string, value []byte, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.purged) > time.Minute {
		m.purged = now
		for key, e := range m.values {
			if now.After(e.until) {
				delete(m.values, key)
			}
		}
	}
	m.values[key] = entry{value, until}
}

func (m *inProcess) Delete(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
}
