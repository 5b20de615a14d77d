//go:build attack

package attack

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
)

// One instance gets 1,000 wrong guesses a second for 5,000 holders. Meanwhile, a person confirms with the right PIN at another
// instance.
func TestOverload(t *testing.T) {
	const holders, rate, seconds, maxMiB = 5000, 1000, 10, 350
	s := newStack(t, 0)
	// The replica uses no proxies, because they would need the same cores.
	s.replicas = []*replica{s.start("pin-internal", "DATABASE_URL="+s.serviceURL, "REDIS_URL="+s.redis.URL)}
	s.people.Exec(`insert into customers (email) select 'crowd' || n || '@example.com' from generate_series(1, $1::int) n`, holders)
	// All holders get the same verifier: a wrong PIN is wrong for each of them.
	s.people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at)
		select c.id, c.id, h.verifier, gen_random_uuid(), now() from customers c, pin_holders h where c.email like 'crowd%' and h.holder_id = $1`, s.identity)
	s.people.Exec(`insert into identities (customer_id, instance_id, channel, external_id)
		select id, $1, 'telegram', id::text from customers where email like 'crowd%'`, s.instance)
	var crowd pq.StringArray
	s.people.Get(&crowd, `select array_agg(id::text) from customers where email like 'crowd%'`)

	other := *s
	other.instance = s.people.Instance()
	other.key = s.people.ProxyKey(other.instance)
	person := other.newPerson()

	r, confirmed := &result{}, &result{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	wg.Go(func() {
		for time.Since(began) < seconds*time.Second {
			a := other.guess(s.replicas[0], person.withPIN(right))
			confirmed.answers = append(confirmed.answers, a)
			time.Sleep(100 * time.Millisecond)
		}
	})
	slots := make(chan struct{}, 256)
	for i := range rate * seconds {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / rate)))
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			a := s.guess(s.replicas[0], map[string]any{"pin": wrong, "customer_id": crowd[i%holders]})
			mu.Lock()
			r.answers = append(r.answers, a)
			mu.Unlock()
		})
	}
	wg.Wait()
	took := time.Since(began)

	var charged, most int
	s.people.Get(&charged, `select count(*) from attempts where outcome is distinct from 'right'`)
	s.people.Get(&most, `select max(charged) from pin_holders where identity_id is null`)
	shed := &result{}
	for _, a := range r.answers {
		if a.status == 503 {
			shed.answers = append(shed.answers, a)
		}
	}
	s.report(r, charged)
	fmt.Printf("%-46s %.0f a second, shed %d with p99 %s; at the other instance %d of %d confirmed, p99 %s; %d MiB\n", t.Name(), float64(len(r.answers))/took.Seconds(),
		len(shed.answers), shed.p99().Round(time.Millisecond), confirmed.verified(), len(confirmed.answers), confirmed.p99().Round(time.Millisecond), s.replicas[0].memory(t))
	compared := r.count(func(a answer) bool { return a.status == 200 && a.error == "invalid_pin" })
	switch {
	case charged != compared:
		t.Errorf("%d attempts charged and %d compared: a shed request was charged", charged, compared)
	case most > budget:
		t.Errorf("one holder had %d attempts, want at most %d", most, budget)
	case r.status500()+r.unanswered()+r.verified() > 0:
		t.Errorf("%d answers with status 500, %d requests unanswered, %d right", r.status500(), r.unanswered(), r.verified())
	case confirmed.verified()*100 < len(confirmed.answers)*99:
		t.Errorf("%d of %d confirmed at the other instance, want 99 %%", confirmed.verified(), len(confirmed.answers))
	case s.replicas[0].memory(t) > maxMiB:
		t.Errorf("%d MiB of resident memory, want at most %d", s.replicas[0].memory(t), maxMiB)
	case shed.p99() >= 100*time.Millisecond:
		t.Errorf("the p99 of shed requests is %s, want less than 100 ms", shed.p99())
	}
}
