//go:build attack

package attack

import (
	"fmt"
	"strings"
	"testing"
)

// 1,000 parallel uses with ten use_ids arrive at three replicas. One use_id wins, and it always gets the same bytes.
func TestThousandParallelUses(t *testing.T) {
	all := newApprovalStack(t, 3, 1)
	for _, grants := range []string{skill, sessionSkill} {
		t.Run(grants, func(t *testing.T) {
			s := all.with(t)
			a := s.approved(s.person, grants, "100.00")
			replies := inParallel(1000, func(i int) reply {
				arguments := map[string]any(nil)
				switch i % 4 {
				case 1:
					arguments = transfer("100.00")
				case 2:
					arguments = transfer("100.01")
				}
				return s.use(s.replicas[i%3], a.ID, useID(i/4%10), arguments)
			})
			winner, body := -1, ""
			for i, r := range replies {
				if !r.opens() {
					continue
				}
				if winner < 0 {
					winner, body = i/4%10, r.body
				}
				if i/4%10 != winner || r.body != body {
					t.Fatalf("use_id %d got %s, use_id %d got %s", winner, body, i/4%10, r.body)
				}
				if i%4 == 2 {
					t.Fatalf("a use with other arguments got %s", r)
				}
			}
			fmt.Printf("%-46s %v  p99 %s\n", t.Name(), count(replies), p99(replies))
			s.checkReplies(replies, false)
			if n := count(replies); n["200"] != 75 || n["409 action_mismatch"]+n["409 approval_used"] != 925 {
				t.Errorf("%v, want 75 answers for the winner, and no answer for the others", n)
			}
			if r := s.row(a.ID); r.Status != "used" || r.Uses != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// 100 parallel PINs arrive at three links and at verify. No more candidates are compared than the budget allows, and no link takes
// more than two.
func TestHundredParallelDecisions(t *testing.T) {
	all := newApprovalStack(t, 3, 3)
	rights := make([]bool, 100)
	for i := range rights {
		rights[i] = all.random.IntN(2) == 0
	}
	for _, rule := range []struct {
		name string
		pin  func(i int) string
	}{
		{"wrong", func(int) string { return wrong }},
		{"right and wrong", func(i int) string { return map[bool]string{true: right, false: wrong}[rights[i]] }},
	} {
		t.Run(rule.name, func(t *testing.T) {
			s := all.with(t)
			before := s.compared()
			asked := []reply{s.asked(s.person, skill, "1"), s.asked(s.person, skill, "2"), s.asked(s.person, sessionSkill, "3")}
			views := make([]string, len(asked))
			for i, a := range asked {
				views[i] = open(s.admins[0], a.link()).ViewHash
			}
			replies := inParallel(100, func(i int) reply {
				if k := i % 5; k < 3 {
					return decideView(s.admins[i%3], asked[k].link(), views[k], "approve", rule.pin(i))
				}
				return s.agent(s.replicas[i%3], "POST", "/pin/verify", s.withPIN(rule.pin(i)))
			})
			decisions := map[string]int{}
			for i, r := range replies {
				if i%5 < 3 {
					decisions[strings.Join(strings.Fields(fmt.Sprint(r.status, " ", r.Code, " ", r.Status, " ", r.Error)), " ")]++
				}
			}
			fmt.Printf("%-46s comparisons %d  decisions %v  p99 %s\n", t.Name(), s.compared()-before, decisions, p99(replies))
			s.checkReplies(replies, false)
			var attempts, longest int
			s.people.Get(&attempts, `select count(*) from attempts where holder_id = $1`, s.identity)
			// The longest series of attempts without a right one, also of those before it that it forgave.
			s.people.Get(&longest, `select coalesce(max(n), 0) from (select count(*) filter (where outcome is distinct from 'right') as n from (
				select outcome, count(*) filter (where outcome = 'right') over (order by number desc) as series from attempts where holder_id = $1) a group by series) b`, s.identity)
			if compared := s.compared() - before; compared != attempts || longest > budget || rule.name == "wrong" && attempts != budget {
				t.Errorf("%d compared, %d charged, %d in a series without a right PIN", compared, attempts, longest)
			}
			tries := 0
			for _, a := range asked {
				r := s.row(a.ID)
				tries += r.Tries
				if r.Tries > 2 || r.Wrong > r.Tries || r.Wrong == 2 && r.Status != "denied" || r.Status == "approved" && rule.name == "wrong" {
					t.Errorf("%+v", r)
				}
			}
			if tries > attempts {
				t.Errorf("%d tries, but %d attempts charged", tries, attempts)
			}
		})
	}
}

// Agents ask in parallel, for many actions and for one action, cancel and ask again, and ask again after a denial.
func TestPromptBombing(t *testing.T) {
	s := newApprovalStack(t, 3, 1)
	total := func() (n int) {
		s.people.Get(&n, `select count(*) from approvals where customer_id = $1`, s.customer)
		return n
	}
	replies := inParallel(300, func(i int) reply { return s.ask(s.replicas[i%3], s.person, skill, transfer(fmt.Sprint(i))) })
	fmt.Printf("%-46s %v  p99 %s\n", t.Name(), count(replies), p99(replies))
	s.checkReplies(replies, false)
	if n := count(replies); n["201"] != 3 || n["409 too_many_pending"] != 297 || total() != 3 {
		t.Errorf("%v, %d approvals, want 3 and 297 refusals", n, total())
	}
	for i := range 100 { // cancel and ask again
		for _, r := range replies {
			if r.status == 201 {
				s.agent(s.replicas[i%3], "POST", "/approvals/"+r.ID+"/cancel", nil)
			}
		}
		replies = []reply{s.ask(s.replicas[i%3], s.person, skill, transfer(fmt.Sprint("again ", i)))}
	}
	if last := replies[0]; last.status != 429 || last.Code != "approvals_rate_limited" || last.retryAfter == "" || total() != 30 {
		t.Errorf("after 100 more requests there are %d approvals: %s", total(), last)
	}

	other := s.newPerson()
	replies = inParallel(100, func(i int) reply { return s.ask(s.replicas[i%3], other, skill, transfer("7")) })
	for _, r := range replies {
		if r.ID == "" || r.ID != replies[0].ID || r.URL != replies[0].URL {
			t.Fatalf("the same request got %s and %s", replies[0], r)
		}
	}
	if n := count(replies); n["201"] != 1 || n["200"] != 99 {
		t.Errorf("100 equal requests: %v", n)
	}
	// The person denies twice. The model cannot ask for these actions again, and then not for the skill.
	for i := range 2 {
		if d := decide(s.admins[0], s.asked(other, skill, fmt.Sprint(7+i)).link(), "deny", ""); d.Status != "denied" {
			t.Fatalf("denying: %s", d)
		}
		again := inParallel(30, func(j int) reply { return s.ask(s.replicas[j%3], other, skill, transfer(fmt.Sprint(7+i))) })
		if n := count(again); n["409 denied_recently"] != 30 {
			t.Errorf("after %d denials: %v", i+1, n)
		}
	}
	if a := s.ask(s.replicas[0], other, skill, transfer("9")); a.Code != "skill_denied" {
		t.Errorf("another action of the skill: %s", a)
	}
	// Two wrong PINs are no denial.
	third := s.newPerson()
	a := s.asked(third, skill, "7")
	for range 2 {
		decide(s.admins[0], a.link(), "approve", wrong)
	}
	if again := s.asked(third, skill, "7"); again.ID == a.ID || s.row(a.ID).Status != "denied" {
		t.Errorf("after two wrong PINs: %s", again)
	}
}
