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

// A fault of Postgres starts while guesses arrive. At most five guesses are compared, no answer has a token, each 503 has
// Retry-After, and guesses are answered again within five seconds after the fault.
func TestPostgresFaults(t *testing.T) {
	for _, fault := range []struct {
		name string
		// guesses is smaller if each guess takes seconds.
		guesses int
		// start starts the fault. end ends it.
		start func(*stack) (end func())
	}{
		{"killed and started again", 500, func(s *stack) func() {
			must(s.t, run.postgres.Signal(syscall.SIGKILL))
			<-run.postgres.Done()
			return func() { must(s.t, startPostgres()) }
		}},
		{"every connection closed", 500, func(s *stack) func() {
			return repeat(func() {
				s.toPostgres.Stop()
				time.Sleep(20 * time.Millisecond)
				_ = s.toPostgres.Start()
				time.Sleep(time.Duration(20+s.random.IntN(80)) * time.Millisecond)
			})
		}},
		{"delay of two seconds", 150, func(s *stack) func() {
			addFault(s.t, s.toPostgres, `{"type": "latency", "attributes": {"latency": 2000}}`)
			return func() { s.toPostgres.Toxics.ResetToxics(context.Background()) }
		}},
		{"no data", 150, func(s *stack) func() {
			addFault(s.t, s.toPostgres, `{"type": "timeout", "attributes": {"timeout": 0}}`)
			return func() { s.toPostgres.Toxics.ResetToxics(context.Background()) }
		}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			s := newStack(t, 3)
			r := s.guessInParallel(s.random.IntN(budget), func(int) map[string]any { return s.withPIN(wrong) })
			charged := s.charged(s.person)
			results := make(chan *result)
			go func() {
				results <- s.guessInParallel(fault.guesses, func(int) map[string]any { return s.withPIN(wrong) })
			}()
			time.Sleep(time.Duration(s.random.IntN(60)) * time.Millisecond)
			end := fault.start(s)
			r.add(<-results)
			end()
			s.waitUntilAnswered(5 * time.Second)
			r.add(s.guessInParallel(200, func(int) map[string]any { return s.withPIN(wrong) }))
			s.checkBudget(r, s.comparisons(), false)
			if now := s.charged(s.person); now < charged || now < s.comparisons() || now != budget {
				t.Errorf("%d attempts are charged; before the fault there were %d; %d were compared", now, charged, s.comparisons())
			}
			if r.tokens()+r.verified()+r.unanswered() > 0 {
				t.Errorf("%d tokens, %d right, %d requests unanswered", r.tokens(), r.verified(), r.unanswered())
			}
		})
	}
}

// waitUntilAnswered waits until a guess gets an answer with status 200.
func (s *stack) waitUntilAnswered(within time.Duration) {
	s.t.Helper()
	began := time.Now()
	for s.guess(s.replicas[0], s.withPIN(wrong)).status != 200 {
		if time.Since(began) > within {
			s.t.Fatalf("no answer within %s", within)
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Logf("answered again after %s", time.Since(began).Round(time.Millisecond))
}

// The disk is full, so that Postgres cannot write a charge to its log.
func TestPostgresFullDisk(t *testing.T) {
	ctx := context.Background()
	// Not t.TempDir: the server's user cannot enter the folders of t.TempDir.
	folder, err := os.MkdirTemp(run.folder, "small-disk-")
	must(t, err)
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=128m,mode=0711"); err != nil {
		t.Skipf("cannot mount a small disk on this machine: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(folder, syscall.MNT_DETACH)) })
	options := localstores.Options{Folder: folder, Port: freePort()}
	server, err := localstores.StartPostgres(ctx, options)
	must(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	db, err := sql.Open("postgres", server.URL)
	must(t, err)
	defer db.Close()
	must(t, ensureRoles(ctx, server.URL))
	must(t, schema.Migrate(ctx, db))
	s := newStackOn(t, &storetest.Database{URL: server.URL}, 3)
	s.guessInParallel(s.random.IntN(budget), func(int) map[string]any { return s.withPIN(wrong) })
	charged := s.charged(s.person)
	for range 4 { // if Postgres crashes and restarts, it frees some space, so fill the disk again
		_, err := db.Exec(`create table ballast as select repeat(md5(random()::text), 30) as text from generate_series(1, 200000)`)
		if err == nil {
			t.Fatal("the disk is not full")
		}
		t.Logf("filling the disk: %v", err)
	}
	results := s.guessInParallel(300, func(int) map[string]any { return s.withPIN(right) })
	if results.unavailable() == 0 {
		t.Error("no answer has status 503: the disk is not full enough for the test")
	}
	if verified := results.verified(); verified > 0 && s.settled(s.person, "right") == 0 {
		t.Errorf("%d PINs verified, but Postgres contains no right attempt", verified)
	}
	s.report(results, s.comparisons())
	before := s.comparisons()
	must(t, syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT, "size=512m"))
	select {
	case <-server.Done():
		server, err = localstores.StartPostgres(ctx, options)
		must(t, err)
	case <-time.After(time.Second):
	}
	s.waitUntilAnswered(5 * time.Second)
	if now := s.charged(s.person); now < charged || now < before {
		t.Errorf("%d attempts are charged; before the fault there were %d; %d were compared", now, charged, before)
	}
}
