//go:build attack

package attack

import (
	"context"
	"database/sql"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/localstores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// Whatever happens to Postgres in the middle of a storm: at most five, no token, 503 with Retry-After, and back within
// five seconds.
func TestPostgres(t *testing.T) {
	for _, fault := range []struct {
		name string
		// guesses are fewer where each takes seconds.
		guesses int
		// happen makes the fault and returns what ends it.
		happen func(*stack) (end func())
	}{
		{"killed and started again", 500, func(s *stack) func() {
			must(s.t, run.postgres.Signal(syscall.SIGKILL))
			<-run.postgres.Done()
			return func() { must(s.t, startPostgres()) }
		}},
		{"every connection cut", 500, func(s *stack) func() {
			return always(func() {
				s.toPostgres.Stop()
				time.Sleep(20 * time.Millisecond)
				_ = s.toPostgres.Start()
				time.Sleep(time.Duration(20+s.random.IntN(80)) * time.Millisecond)
			})
		}},
		{"two seconds late", 150, func(s *stack) func() {
			toxic(s.t, s.toPostgres, `{"type": "latency", "attributes": {"latency": 2000}}`)
			return func() { s.toPostgres.Toxics.ResetToxics(context.Background()) }
		}},
		{"half open", 150, func(s *stack) func() {
			toxic(s.t, s.toPostgres, `{"type": "timeout", "attributes": {"timeout": 0}}`)
			return func() { s.toPostgres.Toxics.ResetToxics(context.Background()) }
		}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			s := newStack(t, 3)
			r := s.storm(s.random.IntN(budget), func(int) map[string]any { return s.typing(wrong) })
			charged := s.charged(s.person)
			storm := make(chan *result)
			go func() { storm <- s.storm(fault.guesses, func(int) map[string]any { return s.typing(wrong) }) }()
			time.Sleep(time.Duration(s.random.IntN(60)) * time.Millisecond)
			end := fault.happen(s)
			r.add(<-storm)
			end()
			s.returns(5 * time.Second)
			r.add(s.storm(200, func(int) map[string]any { return s.typing(wrong) }))
			s.holds(r, s.comparisons(), false)
			if now := s.charged(s.person); now < charged || now < s.comparisons() || now != budget {
				t.Errorf("%d attempts are charged, before the fault it were %d; %d were compared", now, charged, s.comparisons())
			}
			if r.tokens()+r.rights()+r.lost() > 0 {
				t.Errorf("%d tokens, %d right, %d unanswered", r.tokens(), r.rights(), r.lost())
			}
		})
	}
}

// returns waits until a guess is answered again.
func (s *stack) returns(within time.Duration) {
	s.t.Helper()
	began := time.Now()
	for s.guess(s.replicas[0], s.typing(wrong)).status != 200 {
		if time.Since(began) > within {
			s.t.Fatalf("not back within %s", within)
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Logf("back after %s", time.Since(began).Round(time.Millisecond))
}

// The disk is full, down to the log that a charge has to be written to.
func TestPostgresHasAFullDisk(t *testing.T) {
	ctx := context.Background()
	// Not t.TempDir: it closes its folders to the user that the server runs as.
	folder, err := os.MkdirTemp(run.folder, "small-disk-")
	must(t, err)
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=128m,mode=0711"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(folder, syscall.MNT_DETACH)) })
	options := localstores.Options{Folder: folder, Port: freePort()}
	server, err := localstores.StartPostgres(ctx, options)
	must(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	db, err := sql.Open("postgres", server.URL)
	must(t, err)
	defer db.Close()
	must(t, schema.EnsureRoles(ctx, db, nil))
	must(t, schema.Migrate(ctx, db))
	s := newStackOn(t, &storetest.Database{URL: server.URL}, 3)
	s.storm(s.random.IntN(budget), func(int) map[string]any { return s.typing(wrong) })
	charged := s.charged(s.person)
	for range 4 { // a server that crashes over it comes back, and there may be room again
		_, err := db.Exec(`create table ballast as select repeat(md5(random()::text), 30) as text from generate_series(1, 200000)`)
		if err == nil {
			t.Fatal("the disk is not full")
		}
		t.Logf("filling the disk: %v", err)
	}
	storm := s.storm(300, func(int) map[string]any { return s.typing(right) })
	if storm.away() == 0 {
		t.Error("no answer was 503: the attack shows nothing")
	}
	if rights := storm.rights(); rights > 0 && s.settled(s.person, "right") == 0 {
		t.Errorf("%d right ones that Postgres knows nothing of", rights)
	}
	s.report(storm, s.comparisons())
	before := s.comparisons()
	must(t, syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT, "size=512m"))
	select {
	case <-server.Done():
		server, err = localstores.StartPostgres(ctx, options)
		must(t, err)
	case <-time.After(time.Second):
	}
	s.returns(5 * time.Second)
	if now := s.charged(s.person); now < charged || now < before {
		t.Errorf("%d attempts are charged, before it were %d, and %d were compared", now, charged, before)
	}
}
