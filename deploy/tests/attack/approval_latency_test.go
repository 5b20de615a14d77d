//go:build attack

package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"
)

// The test prints how long ask, use, check-required and introspect take, in the same run and in turn. With ATTACK_BASE, the path of
// a pin-internal of another version, it also compares verify and check-required with that version.
func TestApprovalLatency(t *testing.T) {
	const people, warm = 1000, 100
	s := newApprovalStack(t, 0, 0)
	// No proxies between the replica and the stores.
	direct := []string{"DATABASE_URL=" + s.serviceURL, "REDIS_URL=" + s.redis.URL}
	at := s.start("pin-internal", direct...)
	s.people.Exec(`insert into customers (email) select 'crowd' || n || '@example.com' from generate_series(1, $1::int) n`, people)
	s.people.Exec(`insert into identities (customer_id, instance_id, channel, external_id)
		select id, $1, 'telegram', id::text from customers where email like 'crowd%'`, s.instance)
	s.people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at)
		select c.id, c.id, h.verifier, gen_random_uuid(), now() from customers c, pin_holders h where c.email like 'crowd%' and h.holder_id = $1`, s.identity)
	var crowd pq.StringArray
	s.people.Get(&crowd, `select array_agg(id::text) from customers where email like 'crowd%'`)
	session := s.guess(at, s.withPIN(right)).token

	took := map[string][]time.Duration{}
	measure := func(i int, name string, want int, send func() reply) reply {
		t.Helper()
		r := send()
		if r.status != want {
			t.Fatalf("%s: %s", name, r)
		}
		if i >= warm {
			took[name] = append(took[name], r.took)
		}
		return r
	}
	check := func(r *replica, customer string) func() reply {
		return func() reply {
			return s.agent(r, "POST", "/pin/check-required?customer_id="+customer+"&skill="+skill, nil)
		}
	}
	for i, customer := range crowd {
		measure(i, "check-required", 200, check(at, customer))
		for _, grants := range []string{skill, sessionSkill} {
			asked := measure(i, "ask "+grants, 201, func() reply {
				return s.agent(at, "POST", "/approvals", map[string]any{"customer_id": customer, "skill": grants, "arguments": transfer("100.00")})
			})
			s.people.Exec(`update approvals a set status = 'approved', decided_at = now(), holder_id = h.holder_id, session_generation = h.session_generation
				from pin_holders h where h.holder_id = a.customer_id and a.id = $1`, uuid.MustParse(asked.ID))
			measure(i, "introspect", 200, func() reply {
				return s.agent(at, "POST", "/pin/sessions/introspect", map[string]any{"session_token": session})
			})
			measure(i, "use "+grants, 200, func() reply { return s.use(at, asked.ID, useID(i), transfer("100.00")) })
		}
	}
	for _, name := range []string{"check-required", "ask " + skill, "ask " + sessionSkill, "introspect", "use " + skill, "use " + sessionSkill} {
		printTimes(name, took[name])
	}
	ratio := func(a, b string) float64 { return float64(median(took[a])) / float64(median(took[b])) }
	fmt.Printf("ask %.2f times check-required; use %.2f times introspect (of a session: %.2f)\n", ratio("ask "+skill, "check-required"),
		ratio("use "+skill, "introspect"), ratio("use "+sessionSkill, "introspect"))

	base := os.Getenv("ATTACK_BASE")
	if base == "" {
		return
	}
	must(t, os.Symlink(base, filepath.Join(run.folder, "pin-internal-base")))
	before := s.start("pin-internal-base", direct...)
	for i, customer := range crowd {
		for name, r := range map[string]*replica{"this version": at, "ATTACK_BASE": before} { // in random order
			measure(i, "check-required of "+name, 200, check(r, customer))
			if i%4 == 0 {
				measure(i, "verify of "+name, 200, func() reply { return s.agent(r, "POST", "/pin/verify", s.withPIN(right)) })
			}
		}
	}
	for _, name := range []string{"check-required", "verify"} {
		printTimes(name+" of this version", took[name+" of this version"])
		printTimes(name+" of ATTACK_BASE", took[name+" of ATTACK_BASE"])
	}
}

// printTimes prints the median and the 99th percentile.
func printTimes(name string, all []time.Duration) {
	slices.Sort(all)
	fmt.Printf("%-32s p50 %-8s p99 %s\n", name, all[len(all)/2].Round(10*time.Microsecond), all[len(all)*99/100].Round(10*time.Microsecond))
}
