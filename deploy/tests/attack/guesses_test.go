//go:build attack

package attack

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTenThousandGuesses(t *testing.T) {
	s := newStack(t, 3)
	r := s.storm(10_000, func(int) map[string]any { return s.typing(wrong) })
	s.holds(r, s.comparisons(), true)
	if r.lost() > 0 || r.rights() > 0 {
		t.Errorf("%d unanswered, %d right", r.lost(), r.rights())
	}
}

// The right PIN stands at some place in the storm. It is right at most once (each right PIN renews, but there is only
// one), and never after the fifth charge.
func TestTheRightPINInTwoHundredStorms(t *testing.T) {
	s := newStack(t, 3)
	all, late := &result{}, 0
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(run.seed, seed))
		p, place := s.newPerson(), random.IntN(12)
		before := s.comparisons()
		r := s.storm(40, func(i int) map[string]any {
			if i == place {
				return p.typing(right)
			}
			return p.typing(wrong)
		})
		all.add(r)
		compared := s.comparisons() - before
		var number int
		s.people.Get(&number, `select coalesce(min(number), 0) from attempts where holder_id = $1 and outcome = 'right'`, p.identity)
		switch {
		case number > budget || r.rights() > 1 || (r.rights() == 1) != (number > 0):
			t.Errorf("seed %d: right %d times, as attempt %d", seed, r.rights(), number)
		case compared != s.charged(p) || compared > number+budget || number == 0 && compared != budget:
			t.Errorf("seed %d: %d comparisons, %d charged, the right one was attempt %d", seed, compared, s.charged(p), number)
		case number == 0:
			late++
		}
		if r.crashes() > 0 || r.tokens() > r.rights() { // a right one that settled under a later lock makes no session
			t.Errorf("seed %d: %d crashes, %d tokens", seed, r.crashes(), r.tokens())
		}
	}
	s.report(all, s.comparisons())
	if late == 0 || late == 200 {
		t.Errorf("in %d of 200 storms the right PIN came too late: the attack shows nothing", late)
	}
}

// Bursts of requests that are all on the wire before the first is answered.
func TestPipelinedBursts(t *testing.T) {
	s := newStack(t, 3)
	const bursts, size = 12, 50
	body := fmt.Sprintf(`{"pin":%q,"identity_id":%q}`, wrong, s.identity)
	r := &result{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range bursts {
		wg.Go(func() {
			host := strings.TrimPrefix(s.replicas[i%3].url, "http://")
			conn, err := net.Dial("tcp", host)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			request := fmt.Sprintf("POST /internal/v1/instances/%s/pin/verify HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
				s.instance, host, s.key.Reveal(), len(body), body)
			began := time.Now()
			if _, err := conn.Write([]byte(strings.Repeat(request, size))); err != nil {
				t.Error(err)
				return
			}
			answers := bufio.NewReader(conn)
			for range size {
				response, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Error(err)
					return
				}
				text := make([]byte, 4096)
				n, _ := response.Body.Read(text)
				response.Body.Close()
				mu.Lock()
				r.answers = append(r.answers, read(response, text[:n], time.Since(began)))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	s.holds(r, s.comparisons(), true)
}
