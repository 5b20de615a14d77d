//go:build attack

package attack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/schema"
)

// skill needs an approval of each action, and sessionSkill needs a session.
const (
	skill        = "pay.transfer"
	sessionSkill = "account.read"
)

// approvalStack is a stack that also has replicas of pin-admin, at which people decide.
type approvalStack struct {
	*stack
	admins []*replica
}

func newApprovalStack(t *testing.T, internals, admins int) *approvalStack {
	t.Helper()
	s := &approvalStack{stack: newStack(t, internals)}
	for name, mode := range map[string]string{skill: "approval", sessionSkill: "session"} {
		s.people.Exec(`insert into skills (instance_id, skill, mode, title, summary) values ($1, $2, $3, 'Transfer', 'Pay {amount} to {payee}')`, s.instance, name, mode)
	}
	for range admins {
		s.admins = append(s.admins, s.startPINAdmin("pin-admin"))
	}
	return s
}

// with returns the same stack for a part of a test, with another person. So the processes start once.
func (s *approvalStack) with(t *testing.T) *approvalStack {
	t.Helper()
	part := *s.stack
	part.t = t
	part.person = part.newPerson()
	return &approvalStack{stack: &part, admins: s.admins}
}

// startPINAdmin starts a replica of pin-admin that reaches both stores through the proxies. Nobody may be limited by the number of
// requests of one address.
func (s *approvalStack) startPINAdmin(program string, env ...string) *replica {
	s.t.Helper()
	must(s.t, buildService(program, "pin-admin"))
	direct := loginURL(s.database.URL, schema.RolePinAdmin)
	if run.pooler == nil {
		direct = viaProxy(s.toPostgres, direct)
	}
	return s.start(program, append([]string{"DATABASE_URL=" + direct, "DATABASE_POOLED=false", "AUTH_ISSUER=" + issuer, "RATE_APPROVALS=1000000"}, env...)...)
}

// reply is the answer to one request. Status 0 means that there was no answer.
type reply struct {
	status     int
	body       string
	retryAfter string
	took       time.Duration

	// The fields of all answers about approvals.
	ID, URL, Status, Reason, Code, Summary string
	Receipt                                string
	ActionHash                             string    `json:"action_hash"`
	Token                                  string    `json:"session_token"`
	ExpiresAt                              time.Time `json:"expires_at"`
	ViewHash                               string    `json:"view_hash"`
	Error                                  string
	Note                                   string
}

func (r reply) String() string { return fmt.Sprintf("%d %s", r.status, strings.TrimSpace(r.body)) }

// link returns the token of the approval's link.
func (r reply) link() string {
	_, token, _ := strings.Cut(r.URL, "#")
	return token
}

// opens reports whether the answer has a receipt or a session token.
func (r reply) opens() bool { return r.Receipt != "" || r.Token != "" }

// call sends a JSON request. body is nil, a text or a value.
func call(method, address, key string, body any) reply {
	var encoded []byte
	switch b := body.(type) {
	case nil:
	case string:
		encoded = []byte(b)
	default:
		encoded, _ = json.Marshal(b) // the tests send only values that can be encoded
	}
	request, err := http.NewRequest(method, address, bytes.NewReader(encoded))
	if err != nil {
		panic(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	began := time.Now()
	r := reply{}
	response, err := client.Do(request)
	if err == nil {
		var text []byte
		text, err = io.ReadAll(response.Body)
		response.Body.Close()
		if err == nil {
			_ = json.Unmarshal(text, &r) // other answers have none of these fields
			r.status, r.body, r.retryAfter = response.StatusCode, string(text), response.Header.Get("Retry-After")
		}
	}
	r.took = time.Since(began)
	return r
}

// agent sends a request of the instance's agent to a replica of pin-internal.
func (s *approvalStack) agent(r *replica, method, path string, body any) reply {
	return call(method, r.url+"/internal/v1/instances/"+s.instance.String()+path, s.key.Reveal(), body)
}

// transfer returns arguments of the skill.
func transfer(amount string) map[string]any { return map[string]any{"amount": amount, "payee": "Bob"} }

// ask asks a person for an approval. A nil value of arguments is not sent.
func (s *approvalStack) ask(r *replica, p person, skill string, arguments map[string]any) reply {
	body := map[string]any{"identity_id": p.identity, "skill": skill}
	if arguments != nil {
		body["arguments"] = arguments
	}
	return s.agent(r, "POST", "/approvals", body)
}

// asked asks a person for an approval of a transfer, and returns it.
func (s *approvalStack) asked(p person, skill, amount string) reply {
	s.t.Helper()
	a := s.ask(s.replicas[0], p, skill, transfer(amount))
	if a.status != 201 && a.status != 200 || a.Status != "pending" || a.link() == "" {
		s.t.Fatalf("asking: %s", a)
	}
	return a
}

func (s *approvalStack) wait(r *replica, id string, seconds int) reply {
	return s.agent(r, "GET", fmt.Sprintf("/approvals/%s?wait=%d", id, seconds), nil)
}

// use uses an approval. arguments may be nil.
func (s *approvalStack) use(r *replica, id, useID string, arguments map[string]any) reply {
	body := map[string]any{"use_id": useID}
	if arguments != nil {
		body["arguments"] = arguments
	}
	return s.agent(r, "POST", "/approvals/"+id+"/use", body)
}

func open(r *replica, link string) reply {
	return call("POST", r.url+"/v1/approvals/open", "", map[string]any{"token": link})
}

// decide opens a link and then sends a decision. An empty PIN is not sent.
func decide(r *replica, link, decision, digits string) reply {
	view := open(r, link)
	if view.status != 200 {
		return view
	}
	return decideView(r, link, view.ViewHash, decision, digits)
}

func decideView(r *replica, link, view, decision, digits string) reply {
	body := map[string]any{"token": link, "view_hash": view, "decision": decision}
	if digits != "" {
		body["pin"] = digits
	}
	return call("POST", r.url+"/v1/approvals/decide", "", body)
}

// approved returns an approval that the person has approved.
func (s *approvalStack) approved(p person, skill, amount string) reply {
	s.t.Helper()
	a := s.asked(p, skill, amount)
	if d := decide(s.admins[0], a.link(), "approve", right); d.status != 200 || d.Status != "approved" {
		s.t.Fatalf("approving: %s", d)
	}
	return a
}

// useID returns a use_id with 22 characters that depends on n.
func useID(n int) string { return fmt.Sprintf("use-%018d", n) }

// inParallel sends n requests from 64 clients.
func inParallel(n int, send func(i int) reply) []reply {
	replies := make([]reply, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(64, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				replies[i] = send(i)
			}
		})
	}
	wg.Wait()
	return replies
}

// count returns how many replies have each status and code, for example "409 approval_used".
func count(replies []reply) map[string]int {
	n := map[string]int{}
	for _, r := range replies {
		n[strings.TrimSpace(fmt.Sprint(r.status, " ", r.Code))]++
	}
	return n
}

// row is what a test reads of an approval.
type row struct {
	Status string
	Reason *string
	Tries  int
	Wrong  int
	Uses   int
}

func (s *approvalStack) row(id string) (r row) {
	s.t.Helper()
	s.people.Get(&r, `select status, reason, tries, wrong, (select count(*) from audit where action = 'approval.used' and target_id = a.id) as uses
		from approvals a where id = $1`, id)
	return r
}

// compared returns the number of comparisons of all running replicas of both services.
func (s *approvalStack) compared() int {
	s.t.Helper()
	n := s.comparisons()
	for _, a := range s.admins {
		n += a.comparisons(s.t)
	}
	return n
}

// checkReplies fails the test if an answer has status 500, a 503 has no Retry-After, or a request hangs. unanswered says whether
// requests without an answer are allowed.
func (s *approvalStack) checkReplies(replies []reply, unanswered bool) {
	s.t.Helper()
	for _, r := range replies {
		switch {
		case r.status == 500, r.status == 503 && r.retryAfter == "", r.took >= clientTimeout, r.status == 0 && !unanswered:
			s.t.Errorf("after %s: %s", r.took.Round(time.Millisecond), r)
			return
		}
	}
}

func p99(replies []reply) time.Duration {
	r := &result{}
	for _, one := range replies {
		r.answers = append(r.answers, answer{took: one.took})
	}
	return r.p99().Round(time.Millisecond)
}
