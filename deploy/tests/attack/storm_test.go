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

// patience is how long a client waits, a second longer than the longest answer takes: 10 s up to the charge, 10 s to the
// verdict, and 5 s for a statement that was sent at the last moment. Whoever waits that long was left hanging.
const patience = 26 * time.Second

var client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// answer is what came back for one guess; status 0: nothing.
type answer struct {
	status     int
	verified   bool
	error      string
	token      string
	remaining  *int
	lockedAt   *time.Time
	retryAfter string
	active     bool
	took       time.Duration
}

func (s *stack) guess(r *replica, body map[string]any) answer {
	return s.post(r, "/pin/verify", body)
}

func (s *stack) post(r *replica, path string, body map[string]any) answer {
	return s.ask("POST", r, path, body)
}

func (s *stack) ask(method string, r *replica, path string, body map[string]any) answer {
	var encoded []byte
	if body != nil {
		encoded, _ = json.Marshal(body) // texts and ids always can be
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
	return read(response, text, time.Since(began))
}

func read(response *http.Response, text []byte, took time.Duration) answer {
	var verdict struct {
		Verified    bool       `json:"verified"`
		Error       string     `json:"error"`
		Token       string     `json:"session_token"`
		Remaining   *int       `json:"remaining_attempts"`
		LockedUntil *time.Time `json:"locked_until"`
		Active      bool       `json:"active"`
	}
	_ = json.Unmarshal(text, &verdict) // an answer of another shape has none of these
	return answer{response.StatusCode, verdict.Verified, verdict.Error, verdict.Token, verdict.Remaining, verdict.LockedUntil,
		response.Header.Get("Retry-After"), verdict.Active, took}
}

func (p person) typing(digits string) map[string]any {
	return map[string]any{"pin": digits, "identity_id": p.identity}
}

// result is what became of the guesses of one attack.
type result struct {
	answers []answer
}

// storm sends n guesses through 64 clients to all replicas in turn.
func (s *stack) storm(n int, typed func(i int) map[string]any) *result {
	const clients = 64
	r := &result{answers: make([]answer, n)}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(clients, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				r.answers[i] = s.guess(s.replicas[i%len(s.replicas)], typed(i))
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

func (r *result) tokens() int  { return r.count(func(a answer) bool { return a.token != "" }) }
func (r *result) rights() int  { return r.count(func(a answer) bool { return a.verified }) }
func (r *result) crashes() int { return r.count(func(a answer) bool { return a.status == 500 }) }
func (r *result) away() int    { return r.count(func(a answer) bool { return a.status > 500 }) }
func (r *result) lost() int    { return r.count(func(a answer) bool { return a.status == 0 }) }

// slowest returns the duration that one in a hundred exceeds.
func (r *result) p99() time.Duration {
	var all []time.Duration
	for _, a := range r.answers {
		all = append(all, a.took)
	}
	slices.Sort(all)
	return all[len(all)*99/100]
}

// report prints what became of an attack, in one line.
func (s *stack) report(r *result, comparisons int) {
	s.t.Helper()
	fmt.Printf("%-46s sent %6d  comparisons %4d  right %3d  tokens %3d  500 %d  503 %5d  unanswered %4d  p99 %s  seed %d\n", s.t.Name(), len(r.answers),
		comparisons, r.rights(), r.tokens(), r.crashes(), r.away(), r.lost(), r.p99().Round(time.Millisecond), run.seed)
}

// holds fails the attack when a guess was too many, or an answer none of ours.
func (s *stack) holds(r *result, comparisons int, exactly bool) {
	s.t.Helper()
	s.report(r, comparisons)
	if comparisons > budget || exactly && comparisons != budget {
		s.t.Errorf("%d comparisons, want %d", comparisons, budget)
	}
	if n := r.crashes(); n > 0 {
		s.t.Errorf("%d answers were 500, such as\n%s", n, s.failures())
	}
	if n := r.count(func(a answer) bool { return a.status == 503 && a.retryAfter == "" }); n > 0 {
		s.t.Errorf("%d answers were 503 without Retry-After", n)
	}
	if n := r.count(func(a answer) bool { return a.took >= patience }); n > 0 {
		s.t.Errorf("%d clients were left hanging", n)
	}
}

// failures are the first log lines of what the replicas took for a failure of ours.
func (s *stack) failures() (lines string) {
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

// always runs do over and over, until the function that it returns is called.
func always(do func()) (stop func()) {
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
