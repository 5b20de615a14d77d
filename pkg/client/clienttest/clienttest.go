// Package clienttest has a double of Countersign for tests of programs that use pkg/client. It follows the contract of pin-internal,
// but it has no PINs and no limits: a test says what the policy is and what the person answers.
package clienttest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// Instance, ProxyKey and Customer are what the double accepts. Every customer id is accepted; Customer is an example.
	Instance = "7d9c1b52-6c1c-4f0e-8a53-5d1c2f3b4a01"
	ProxyKey = "csp_canary_proxy_key"
	Customer = "0d4c8a9e-2f57-4d6b-9c3e-7a1b2c3d4e02"
	// Link is the link of every approval, before the approval's id.
	Link = "https://countersign.example/approve#cap_canary_"
)

// Asked is one approval.
type Asked struct {
	ID, Customer, Identity, Skill, Audience, Arguments, Session string
	// Status is as in the contract. Grants is "action" or "session".
	Status, Reason, Grants string
	// UseID and Proof are set when it was used. Proof is the receipt or the session token.
	UseID, Proof string
	expires      time.Time
}

// Countersign is the double. Its methods may be called from several goroutines.
type Countersign struct {
	URL string

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced when an approval changes
	modes     map[string]string
	otherwise string
	answer    string
	intercept func(http.ResponseWriter, *http.Request) bool
	approvals []*Asked
	accounts  map[string][2]string
	lost      map[string]int
	ended     map[string]bool
	requests  []string
}

// New starts a double that ends with the test. At first, every skill is open and nobody answers.
func New(t testing.TB) *Countersign {
	d, stop := Start()
	t.Cleanup(stop)
	return d
}

// Start starts a double without a test. stop ends it, and the requests that wait.
func Start() (d *Countersign, stop func()) {
	d = &Countersign{changed: make(chan struct{}), modes: map[string]string{}, otherwise: "open", accounts: map[string][2]string{}, lost: map[string]int{}, ended: map[string]bool{}}
	server := httptest.NewServer(d)
	d.URL = server.URL
	return d, func() {
		server.CloseClientConnections()
		server.Close()
	}
}

// Mode sets the mode of a skill: open, session or approval. Without a skill, it sets the mode of all other skills.
func (d *Countersign) Mode(mode string, skills ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(skills) == 0 {
		d.otherwise = mode
	}
	for _, skill := range skills {
		d.modes[strings.ToLower(skill)] = mode
	}
}

// Answer says what the person does with every new approval: "approved", "denied", or "" for nothing.
func (d *Countersign) Answer(status string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = status
}

// Decide sets the status of all pending approvals.
func (d *Countersign) Decide(status string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.approvals {
		if a.Status == "pending" {
			d.set(a, status)
		}
	}
}

func (d *Countersign) set(a *Asked, status string) {
	a.Status = status
	if status == "denied" {
		a.Reason = "person"
	}
	close(d.changed)
	d.changed = make(chan struct{})
}

// Account adds an account on a channel, for Lookup.
func (d *Countersign) Account(channel, externalID, identity, customer string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accounts[channel+" "+externalID] = [2]string{identity, customer}
}

// Intercept calls f before each request. If f returns true, it answered. Nil ends this.
func (d *Countersign) Intercept(f func(http.ResponseWriter, *http.Request) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.intercept = f
}

// Lose breaks the connection of the next requests whose path ends in this way, after they had their effect.
func (d *Countersign) Lose(path string, times int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost[path] = times
}

// EndSessions ends all sessions, as their revocation does.
func (d *Countersign) EndSessions() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.approvals {
		d.ended[a.Proof] = true
	}
}

// Approvals returns copies of all approvals, oldest first.
func (d *Countersign) Approvals() []Asked {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Asked, len(d.approvals))
	for i, a := range d.approvals {
		all[i] = *a
	}
	return all
}

// Requests returns the method and the path of each request, without the path of the instance.
func (d *Countersign) Requests() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.requests...)
}
