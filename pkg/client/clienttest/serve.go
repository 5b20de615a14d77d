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
	"time"
)

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
