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
	r := s.guessInParallel(10_000, func(int) map[string]any { return s.withPIN(wrong) })
	s.checkBudget(r, s.comparisons(), true)
	if r.unanswered() > 0 || r.verified() > 0 {
		t.Errorf("%d requests unanswered, %d right", r.unanswered(), r.verified())
	}
}

// One of 40 parallel guesses has the right PIN, at a random place. It verifies at most once, and never after the fifth charge.
func TestOneRightPINAmongParallelGuesses(t *testing.T) {
	s := newStack(t, 3)
	all, tooLate := &result{}, 0
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(run.seed, seed))
		p, place := s.newPerson(), random.IntN(12)
		before := s.comparisons()
		r := s.guessInParallel(40, func(i int) map[string]any {
			if i == place {
				return p.withPIN(right)
			}
			return p.withPIN(wrong)
		})
		all.add(r)
		compared := s.comparisons() - before
		var number int
		s.people.Get(&number, `select coalesce(min(number), 0) from attempts where holder_id = $1 and outcome = 'right'`, p.identity)
		switch {
		case number > budget || r.verified() > 1 || (r.verified() == 1) != (number > 0):
			t.Errorf("seed %d: the PIN verified %d times, as attempt %d", seed, r.verified(), number)
		case compared != s.charged(p) || compared > number+budget || number == 0 && compared != budget:
			t.Errorf("seed %d: %d comparisons, %d charges, the right PIN was attempt %d", seed, compared, s.charged(p), number)
		case number == 0:
			tooLate++
		}
		if r.status500() > 0 || r.tokens() > r.verified() { // a right PIN gives no token if a later attempt has locked
			t.Errorf("seed %d: %d answers with status 500, %d tokens", seed, r.status500(), r.tokens())
		}
	}
	s.report(all, s.comparisons())
	if tooLate == 0 || tooLate == 200 {
		t.Errorf("the right PIN came too late in %d of 200 runs: the test must have both cases", tooLate)
	}
}

// Each connection sends all of its requests before it reads the first answer.
func TestPipelinedRequests(t *testing.T) {
	s := newStack(t, 3)
	const connections, requests = 12, 50
	body := fmt.Sprintf(`{"pin":%q,"identity_id":%q}`, wrong, s.identity)
	r := &result{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range connections {
		wg.Go(func() {
			host := strings.TrimPrefix(s.replicas[i%3].url, "http://")
			conn, err := net.Dial("tcp", host)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(clientTimeout))
			request := fmt.Sprintf("POST /internal/v1/instances/%s/pin/verify HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
				s.instance, host, s.key.Reveal(), len(body), body)
			began := time.Now()
			if _, err := conn.Write([]byte(strings.Repeat(request, requests))); err != nil {
				t.Error(err)
				return
			}
			answers := bufio.NewReader(conn)
			for range requests {
				response, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Error(err)
					return
				}
				text := make([]byte, 4096)
				n, _ := response.Body.Read(text)
				response.Body.Close()
				mu.Lock()
				r.answers = append(r.answers, parseAnswer(response, text[:n], time.Since(began)))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	s.checkBudget(r, s.comparisons(), true)
}
