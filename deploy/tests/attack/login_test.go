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

// Whether somebody has an address does not show in how a wrong password for it is answered, nor in how long that takes: not
// the first time that an address is tried, nor later, nor once it is locked.
func TestNobodyLearnsFromALoginWhoHasAnAccount(t *testing.T) {
	const tries, tolerance, noise = 200, 0.1, time.Millisecond
	s := newStack(t, 0)
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(run.folder, "auth"), "github.com/countersign/countersign/services/auth").CombinedOutput()
	if err != nil {
		t.Fatalf("building auth: %v\n%s", err, out)
	}
	auth := s.start("auth", "DATABASE_URL="+s.database.URLAs(schema.RoleAuth), "DATABASE_POOLED=false", "REDIS_URL="+s.redis.URL,
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

	// Everybody who is known has one password, and has signed in before.
	const password = "a password of many"
	answer, err := http.Post(auth.url+"/auth/signup", "application/json", strings.NewReader(fmt.Sprintf(`{"email":"crowd0@example.test","password":%q}`, password)))
	must(t, err)
	answer.Body.Close()
	s.people.Exec(`insert into users (email, password_hash) select 'crowd' || n || '@example.test', u.password_hash from users u, generate_series(1, $1::int) n`, tries)
	s.people.Exec(`update users set email_confirmed_at = now()`)
	var known, unknown []string
	for i := range tries {
		known, unknown = append(known, fmt.Sprintf("crowd%d@example.test", i+1)), append(unknown, uuid.NewString()+"@example.test")
		if said, _ := login(known[i], password); !strings.HasPrefix(said, "200 ") {
			t.Fatal(said)
		}
	}
	for _, round := range []struct{ name, before string }{
		{"the first wrong password", `select`},
		{"a later one", `select`},
		{"locked", `update guess_budgets set locked_until = now() + interval '60 seconds'`},
	} {
		s.people.Exec(round.before)
		var took [2][]time.Duration
		for i := range tries {
			var said [2]string
			first := s.random.IntN(2)
			for _, who := range []int{first, 1 - first} {
				text, d := login([]string{known[i], unknown[i]}[who], "not the password")
				said[who], took[who] = text, append(took[who], d)
			}
			if said[0] != said[1] {
				t.Fatalf("%s: known %s, unknown %s", round.name, said[0], said[1])
			}
		}
		k, u := median(took[0]), median(took[1])
		fmt.Printf("%s: median of %d at known addresses %v, at unknown ones %v\n", round.name, tries, k, u)
		if off := (k - u).Abs(); off > noise && off.Seconds() > tolerance*u.Seconds() {
			t.Errorf("%s: %v apart", round.name, off)
		}
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
