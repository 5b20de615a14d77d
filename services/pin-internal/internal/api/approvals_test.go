package api_test

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/testkit/webtest"
)

type object = map[string]any

// register registers a skill in mode approval. Its other columns are SQL.
func (s *service) register(name, mode, columns, values string) {
	s.t.Helper()
	s.people.Exec(`insert into skills (instance_id, skill, mode`+columns+`) values ($1, $2, $3`+values+`)`, s.instance, name, mode)
}

// ask asks for the customer and with more fields.
func (s *service) ask(more object) webtest.Answer {
	s.t.Helper()
	return s.post("/approvals", s.request(more))
}

func (s *service) request(more object) object {
	body := object{"customer_id": s.customer, "identity_id": s.identity, "skill": "Pay"}
	for name, value := range more {
		body[name] = value
		if value == nil {
			delete(body, name)
		}
	}
	return body
}

// newPayingService returns a service with an identity that has a PIN, and the registered skill Pay in mode approval.
func newPayingService(t testing.TB) *service {
	s := newService(t)
	s.setPIN()
	s.register("Pay", "approval", ", title, summary", ", 'Send money', 'Pay {amount} to {to}'")
	return s
}

func (s *service) read(id string, query string) webtest.Answer {
	s.t.Helper()
	return s.Do(webtest.Request{Method: "GET", Path: s.at("/approvals/" + id + query), Header: s.bearer()})
}

func (s *service) cancel(id string) webtest.Answer {
	s.t.Helper()
	return s.Do(webtest.Request{Method: "POST", Path: s.at("/approvals/" + id + "/cancel"), Header: s.bearer()})
}

// asked asks for the approval of a new action, and returns its id.
func (s *service) asked(more ...object) string {
	s.t.Helper()
	body := object{"arguments": object{"n": uuid.NewString()}}
	for _, fields := range more {
		for name, value := range fields {
			body[name] = value
		}
	}
	id, _ := s.Want(s.ask(body), 201).JSON("id").(string)
	return id
}

func TestAskForAnApprovalOfAnAction(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	body := object{"skill": "pAy", "arguments": object{"to": "Ann Lovelace", "amount": 12.5}, "note": "for the rent", "audience": "bank", "expires_in": 60}
	a := s.Want(s.ask(body), 201)
	audience := "bank"
	hash, err := action.Action{Instance: s.instance.String(), Customer: s.customer.String(), Skill: "Pay", Audience: &audience, Arguments: `{"amount":12.5,"to":"Ann Lovelace"}`}.Hash()
	must(t, err)
	s.Fields(a, object{"status": "pending", "grants": "action", "skill": "Pay", "summary": "Pay 12.5 to Ann Lovelace", "reason": nil, "action_hash": hex.EncodeToString(hash[:])})
	url, _ := a.JSON("url").(string)
	token, ok := strings.CutPrefix(url, approvalURL+"/approve#")
	if !ok || !strings.HasPrefix(token, "cap_") {
		t.Errorf("the url is %s", url)
	}
	var row struct {
		Requester, Title, Template, Note, Arguments *string
		Seconds                                     float64
		Links                                       int
	}
	s.people.Get(&row, `select requester, title, template, note, arguments, extract(epoch from expires_at - created_at)::float8 as seconds,
		(select count(*) from approvals where link_hash = sha256(convert_to($1, 'UTF8'))) as links from approvals`, token)
	if *row.Title != "Send money" || *row.Template != "Pay {amount} to {to}" || *row.Note != "for the rent" || *row.Arguments != `{"amount":12.5,"to":"Ann Lovelace"}` ||
		row.Requester != nil || row.Seconds != 60 || row.Links != 1 {
		t.Errorf("the row is %+v", row)
	}
	if strings.Contains(s.people.Dump(), token) {
		t.Error("the link's token is stored")
	}
	s.NeverLogged(token, "for the rent", "Lovelace")

	id, _ := a.JSON("id").(string)
	for _, same := range []object{
		body, // and another spelling, note and time
		{"skill": "PAY", "arguments": json.RawMessage(` { "to":"\u0041nn Lovelace", "amount" : 1.25e1 } `), "note": "hurry", "audience": "bank", "expires_in": 3600},
	} {
		s.Fields(s.Want(s.ask(same), 200), object{"id": id, "url": url, "expires_at": a.JSON("expires_at"), "status": "pending"})
	}
	s.Fields(s.Want(s.read(id, ""), 200), object{"id": id, "url": url, "summary": "Pay 12.5 to Ann Lovelace", "status": "pending"})
	for name, another := range map[string]object{
		"another identity": {"identity_id": nil}, "other arguments": {"arguments": object{"to": "Ann Lovelace", "amount": 12.6}},
	} {
		different := object{"skill": "pay", "arguments": object{"to": "Ann Lovelace", "amount": 12.5}, "audience": "bank"}
		for k, v := range another {
			different[k] = v
		}
		s.setCustomerPIN()
		if other := s.Want(s.ask(different), 201); other.JSON("id") == id {
			t.Errorf("%s: the same approval", name)
		}
	}
	s.wantTrail("approval.asked", "approval.asked", "approval.asked")
}

// setCustomerPIN gives the customer the right PIN.
func (s *service) setCustomerPIN() {
	s.people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at) values ($1, $1, '', gen_random_uuid(), now())
		on conflict do nothing`, s.customer)
}

// wantTrail checks the actions about approvals in the audit trail, in their order.
func (s *service) wantTrail(want ...string) {
	s.t.Helper()
	var got string
	s.people.Get(&got, `select coalesce(string_agg(action, ' ' order by id), '') from audit where action like 'approval.%'`)
	if got != strings.Join(want, " ") {
		s.t.Errorf("the trail has %s, want %s", got, strings.Join(want, " "))
	}
}

func TestParallelAsksMakeOneApproval(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	var created, same atomic.Int64
	var ids sync.Map
	var running sync.WaitGroup
	for range 100 {
		running.Go(func() {
			a, err := s.Try(webtest.Request{Method: "POST", Path: s.at("/approvals"), Header: s.bearer(), Body: s.request(object{"arguments": object{"n": 1}})})
			switch {
			case err != nil:
				t.Error(err)
			case a.Status == 201:
				created.Add(1)
			case a.Status == 200:
				same.Add(1)
			default:
				t.Errorf("answered %d %s", a.Status, a.Body)
			}
			ids.Store(a.JSON("id"), true)
		})
	}
	running.Wait()
	n := 0
	ids.Range(func(any, any) bool { n++; return true })
	if created.Load() != 1 || same.Load() != 99 || n != 1 {
		t.Errorf("%d answers 201, %d answers 200, %d ids", created.Load(), same.Load(), n)
	}
}
