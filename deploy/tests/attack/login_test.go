//go:build attack

package attack

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/schema"
)

// For an address with an account and an address without one, a wrong password gets the same answer after the same time. This is
// true for the first wrong password, for a later one, and while the address is locked.
func TestLoginDoesNotRevealAccounts(t *testing.T) {
	const tries, tolerance, noise = 200, 0.1, time.Millisecond
	s := newStack(t, 0)
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(run.folder, "auth"), "github.com/countersign/countersign/services/auth").CombinedOutput()
	if err != nil {
		t.Fatalf("building auth: %v\n%s", err, out)
	}
	auth := s.start("auth", "DATABASE_URL="+loginURL(s.database.URL, schema.RoleAuth), "DATABASE_POOLED=false", "REDIS_URL="+s.redis.URL,
		"AUTH_KEYS="+pinKeys, "PUBLIC_URL=http://127.0.0.1:1", "RATE_LOGIN=1000000", "RATE_SIGNUP=1000000")
	login := func(email, password string) (string, time.Duration) {
		t.Helper()
		body := fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)
		start := time.Now()
		answer, err := http.Post(auth.url+"/auth/login", "application/json", strings.NewReader(body))
		must(t, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		must(t, err)
		return fmt.Sprint(answer.StatusCode, " ", string(text)), time.Since(start)
	}

	// All accounts have the same password, and have signed in once.
	const password = "the password of all"
	answer, err := http.Post(auth.url+"/auth/signup", "application/json", strings.NewReader(fmt.Sprintf(`{"email":"crowd0@example.test","password":%q}`, password)))
	must(t, err)
	answer.Body.Close()
	s.people.Exec(`insert into users (email, password_hash) select 'crowd' || n || '@example.test', u.password_hash from users u, generate_series(1, $1::int) n`, tries)
	s.people.Exec(`update users set email_confirmed_at = now()`)
	var known, unknown []string
	for i := range tries {
		known, unknown = append(known, fmt.Sprintf("crowd%d@example.test", i+1)), append(unknown, uuid.NewString()+"@example.test")
		if answer, _ := login(known[i], password); !strings.HasPrefix(answer, "200 ") {
			t.Fatal(answer)
		}
	}
	s.people.Exec(`update known_networks set network = sha256(network)`) // the test is a stranger to all of them
	for _, round := range []struct{ name, before string }{
		{"the first wrong password", `select`},
		{"a later wrong password", `select`},
		{"locked", `update guess_budgets set locked_until = now() + interval '60 seconds'`},
	} {
		s.people.Exec(round.before)
		var took [2][]time.Duration
		for i := range tries {
			var answers [2]string
			first := s.random.IntN(2) // the order of the two addresses is random
			for _, which := range []int{first, 1 - first} {
				text, d := login([]string{known[i], unknown[i]}[which], "not the password")
				answers[which], took[which] = text, append(took[which], d)
			}
			if answers[0] != answers[1] {
				t.Fatalf("%s: with an account %s, without %s", round.name, answers[0], answers[1])
			}
		}
		k, u := median(took[0]), median(took[1])
		fmt.Printf("%s: median of %d logins with an account %v, without %v\n", round.name, tries, k, u)
		if difference := (k - u).Abs(); difference > noise && difference.Seconds() > tolerance*u.Seconds() {
			t.Errorf("%s: the medians differ by %v", round.name, difference)
		}
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
