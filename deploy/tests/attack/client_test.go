//go:build attack

package attack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clientTimeout is one second more than the sum of the time limits of a request: 10 s before the charge, 10 s after it, and 5 s
// for a statement that was sent at the last moment. A request that takes longer hangs.
const clientTimeout = 26 * time.Second

var client = &http.Client{Timeout: clientTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// answer is the answer to one request. Status 0 means that there was no answer.
type answer struct {
	status     int
	verified   bool
	error      string
	code       string
	token      string
	remaining  *int
	lockedAt   *time.Time
	retryAfter string
	active     bool
	took       time.Duration
}

// guess sends a request to verify a PIN.
func (s *stack) guess(r *replica, body map[string]any) answer {
	return s.send("POST", r, "/pin/verify", body)
}

// send sends a request of the instance's agent to a replica.
func (s *stack) send(method string, r *replica, path string, body map[string]any) answer {
	var encoded []byte
	if body != nil {
		encoded, _ = json.Marshal(body) // strings and ids can always be encoded
	}
	request, err := http.NewRequest(method, r.url+"/internal/v1/instances/"+s.instance.String()+path, bytes.NewReader(encoded))
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.key.Reveal())
	request.Header.Set("Content-Type", "application/json")
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return answer{took: time.Since(began)}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{took: time.Since(began)}
	}
	return parseAnswer(response, text, time.Since(began))
}

func parseAnswer(response *http.Response, text []byte, took time.Duration) answer {
	var verdict struct {
		Verified    bool       `json:"verified"`
		Error       string     `json:"error"`
		Code        string     `json:"code"`
		Token       string     `json:"session_token"`
		Remaining   *int       `json:"remaining_attempts"`
		LockedUntil *time.Time `json:"locked_until"`
		Active      bool       `json:"active"`
	}
	_ = json.Unmarshal(text, &verdict) // other answers have none of these fields
	return answer{response.StatusCode, verdict.Verified, verdict.Error, verdict.Code, verdict.Token, verdict.Remaining, verdict.LockedUntil,
		response.Header.Get("Retry-After"), verdict.Active, took}
}

// withPIN returns the body of a request that verifies a PIN of the person.
func (p person) withPIN(digits string) map[string]any {
	return map[string]any{"pin": digits, "identity_id": p.identity}
}

// result contains the answers to the guesses of one test.
type result struct {
	answers []answer
}

// guessInParallel sends n guesses from 64 clients to all replicas in turn. body returns the body of guess i.
func (s *stack) guessInParallel(n int, body func(i int) map[string]any) *result {
	const clients = 64
	r := &result{answers: make([]answer, n)}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(clients, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				r.answers[i] = s.guess(s.replicas[i%len(s.replicas)], body(i))
			}
		})
	}
	wg.Wait()
	return r
}

func (r *result) add(more *result) { r.answers = append(r.answers, more.answers...) }

func (r *result) count(is func(answer) bool) (n int) {
	for _, a := range r.answers {
		if is(a) {
			n++
		}
	}
	return n
}

func (r *result) tokens() int      { return r.count(func(a answer) bool { return a.token != "" }) }
func (r *result) verified() int    { return r.count(func(a answer) bool { return a.verified }) }
func (r *result) status500() int   { return r.count(func(a answer) bool { return a.status == 500 }) }
func (r *result) unavailable() int { return r.count(func(a answer) bool { return a.status > 500 }) }
func (r *result) unanswered() int  { return r.count(func(a answer) bool { return a.status == 0 }) }

// p99 returns the time within which 99 % of the requests were answered.
func (r *result) p99() time.Duration {
	var all []time.Duration
	for _, a := range r.answers {
		all = append(all, a.took)
	}
	slices.Sort(all)
	return all[len(all)*99/100]
}

// report prints the result of a test in one line.
func (s *stack) report(r *result, comparisons int) {
	s.t.Helper()
	fmt.Printf("%-46s sent %6d  comparisons %4d  right %3d  tokens %3d  500 %d  503 %5d  unanswered %4d  p99 %s  seed %d\n", s.t.Name(), len(r.answers),
		comparisons, r.verified(), r.tokens(), r.status500(), r.unavailable(), r.unanswered(), r.p99().Round(time.Millisecond), run.seed)
}

// checkBudget fails the test if there were more comparisons than the budget allows (or fewer, if exactly is true), a status 500, a
// 503 without Retry-After, or a request that hangs.
func (s *stack) checkBudget(r *result, comparisons int, exactly bool) {
	s.t.Helper()
	s.report(r, comparisons)
	if comparisons > budget || exactly && comparisons != budget {
		s.t.Errorf("%d comparisons, want %d", comparisons, budget)
	}
	if n := r.status500(); n > 0 {
		s.t.Errorf("%d answers have status 500, for example\n%s", n, s.errorLines())
	}
	if n := r.count(func(a answer) bool { return a.status == 503 && a.retryAfter == "" }); n > 0 {
		s.t.Errorf("%d answers have status 503 without Retry-After", n)
	}
	if n := r.count(func(a answer) bool { return a.took >= clientTimeout }); n > 0 {
		s.t.Errorf("%d requests took longer than every timeout", n)
	}
}

// errorLines returns the first log lines with level ERROR of the replicas.
func (s *stack) errorLines() (lines string) {
	for _, r := range s.replicas {
		log, _ := os.ReadFile(r.log)
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, `"level":"ERROR"`) && strings.Count(lines, "\n") < 5 {
				lines += line
			}
		}
	}
	return lines
}

// repeat calls do in a loop until stop is called.
func repeat(do func()) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
				do()
			}
		}
	}()
	return func() { close(quit); <-done }
}
