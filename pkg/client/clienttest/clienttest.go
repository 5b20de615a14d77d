// Package clienttest has a double of Countersign for tests of programs that use pkg/client. It follows the contract of pin-internal,
// but it has no PINs and no limits: a test says what the policy is and what the person answers.
package clienttest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
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

func (d *Countersign) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, found := strings.CutPrefix(r.URL.Path, "/internal/v1/instances/"+Instance)
	d.mu.Lock()
	d.requests = append(d.requests, r.Method+" "+path)
	intercept := d.intercept
	d.mu.Unlock()
	if intercept != nil && intercept(w, r) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+ProxyKey {
		answer(w, http.StatusUnauthorized, map[string]any{"detail": "Invalid credential"})
		return
	}
	if !found {
		answer(w, http.StatusNotFound, map[string]any{"detail": "Instance not found"})
		return
	}
	if d.loses(path) {
		defer panic(http.ErrAbortHandler)
		w = httptest.NewRecorder()
	}
	id, operation, _ := strings.Cut(strings.TrimPrefix(path, "/approvals/"), "/")
	switch {
	case path == "/pin/check-required":
		d.checkRequired(w, r)
	case path == "/lookup/identity":
		d.lookup(w, r)
	case path == "/approvals":
		d.ask(w, r)
	case operation == "" && r.Method == http.MethodGet:
		d.get(w, r, id)
	case operation == "use":
		d.use(w, r, id)
	case operation == "cancel":
		d.cancel(w, id)
	default:
		answer(w, http.StatusNotFound, map[string]any{"detail": "Not Found"})
	}
}

// loses reports whether the answer of a request gets lost.
func (d *Countersign) loses(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for end, times := range d.lost {
		if times > 0 && strings.HasSuffix(path, end) {
			d.lost[end]--
			return true
		}
	}
	return false
}

// required returns the mode of a skill, and why nothing is needed, or "".
func (d *Countersign) required(skill, customer, session string) (mode, open string) {
	mode, found := d.modes[strings.ToLower(skill)]
	if !found {
		mode = d.otherwise
	}
	if mode == "open" {
		return mode, "skill_not_protected"
	}
	for _, a := range d.approvals {
		if mode == "session" && session != "" && a.Proof == session && a.Customer == customer && !d.ended[session] {
			return mode, "session_active"
		}
	}
	return mode, ""
}

func (d *Countersign) checkRequired(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	query := r.URL.Query()
	mode, reason := d.required(query.Get("skill"), query.Get("customer_id"), r.Header.Get("X-Pin-Session"))
	required := reason == ""
	if required {
		reason = map[string]string{"session": "pin_needed", "approval": "approval_needed"}[mode]
	}
	answer(w, http.StatusOK, map[string]any{"required": required, "reason": reason, "skill_protected": mode != "open"})
}

func (d *Countersign) lookup(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	account, found := d.accounts[r.URL.Query().Get("channel")+" "+r.URL.Query().Get("external_id")]
	if !found {
		answer(w, http.StatusNotFound, map[string]any{"detail": "Identity not found"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"identity_id": account[0], "customer_id": account[1]})
}

func (d *Countersign) ask(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Customer  string          `json:"customer_id"`
		Identity  string          `json:"identity_id"`
		Skill     string          `json:"skill"`
		Audience  string          `json:"audience"`
		Arguments json.RawMessage `json:"arguments"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		answer(w, http.StatusUnprocessableEntity, map[string]any{"detail": "JSON decode error"})
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	session := r.Header.Get("X-Pin-Session")
	mode, reason := d.required(body.Skill, body.Customer, session)
	if reason != "" {
		answer(w, http.StatusOK, map[string]any{"status": "not_required", "reason": reason})
		return
	}
	for _, a := range d.approvals {
		if a.Status == "pending" && a.Customer == body.Customer && a.Identity == body.Identity && strings.EqualFold(a.Skill, body.Skill) && a.Arguments == string(body.Arguments) {
			answer(w, http.StatusOK, a.view())
			return
		}
	}
	a := &Asked{
		ID: rand.Text(), Customer: body.Customer, Identity: body.Identity, Skill: body.Skill, Audience: body.Audience, Session: session,
		Arguments: string(body.Arguments), Status: "pending", Grants: map[string]string{"session": "session", "approval": "action"}[mode],
		expires: time.Now().Add(10 * time.Minute),
	}
	d.approvals = append(d.approvals, a)
	answer(w, http.StatusCreated, a.view())
	if d.answer != "" {
		d.set(a, d.answer)
	}
}

func (a *Asked) view() map[string]any {
	hash := sha256.Sum256([]byte(strings.ToLower(a.Skill) + a.Arguments))
	view := map[string]any{
		"id": a.ID, "status": a.Status, "grants": a.Grants, "skill": a.Skill, "url": nil, "action_hash": hex.EncodeToString(hash[:]),
		"summary": "Run " + a.Skill, "reason": nil, "created_at": a.expires.Add(-10 * time.Minute), "expires_at": a.expires,
	}
	if a.Status == "pending" {
		view["url"] = Link + a.ID
	}
	if a.Reason != "" {
		view["reason"] = a.Reason
	}
	return view
}

// find returns an approval. The caller holds the lock.
func (d *Countersign) find(w http.ResponseWriter, id string) *Asked {
	for _, a := range d.approvals {
		if a.ID == id {
			return a
		}
	}
	answer(w, http.StatusNotFound, map[string]any{"detail": "No such approval"})
	return nil
}

func (d *Countersign) get(w http.ResponseWriter, r *http.Request, id string) {
	seconds, _ := strconv.Atoi(r.URL.Query().Get("wait"))
	end := time.After(time.Duration(seconds) * time.Second)
	for {
		d.mu.Lock()
		a := d.find(w, id)
		if a == nil {
			d.mu.Unlock()
			return
		}
		view, changed, pending := a.view(), d.changed, a.Status == "pending"
		d.mu.Unlock()
		if !pending || seconds == 0 {
			answer(w, http.StatusOK, view)
			return
		}
		select {
		case <-changed:
		case <-end:
			seconds = 0
		case <-r.Context().Done():
			return
		}
	}
}

func (d *Countersign) use(w http.ResponseWriter, r *http.Request, id string) {
	var body struct {
		UseID     string          `json:"use_id"`
		Arguments json.RawMessage `json:"arguments"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		answer(w, http.StatusUnprocessableEntity, map[string]any{"detail": "JSON decode error"})
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.find(w, id)
	switch {
	case a == nil:
		return
	case string(body.Arguments) != a.Arguments:
		conflict(w, "action_mismatch")
		return
	case a.Status != "approved" && (a.Status != "used" || a.UseID != body.UseID):
		conflict(w, "approval_"+a.Status)
		return
	}
	if a.Status == "approved" {
		a.Status, a.UseID, a.Proof = "used", body.UseID, "receipt.canary."+a.ID
		if a.Grants == "session" {
			a.Proof = "cst_canary_" + a.ID
		}
	}
	if a.Grants == "session" {
		answer(w, http.StatusOK, map[string]any{"session_token": a.Proof, "session_expires_at": time.Now().Add(10 * time.Minute)})
		return
	}
	answer(w, http.StatusOK, map[string]any{"receipt": a.Proof, "action_hash": a.view()["action_hash"], "used_at": time.Now()})
}

func (d *Countersign) cancel(w http.ResponseWriter, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.find(w, id)
	if a == nil {
		return
	}
	if a.Status == "pending" || a.Status == "approved" {
		d.set(a, "cancelled")
	}
	answer(w, http.StatusNoContent, nil)
}

func conflict(w http.ResponseWriter, code string) {
	w.Header().Set("X-Error-Code", code)
	answer(w, http.StatusConflict, map[string]any{"detail": "The approval is " + code, "code": code})
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body)
	}
}
