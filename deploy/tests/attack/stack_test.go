//go:build attack

package attack

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/localstores/child"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/token"
)

const (
	pinKeys = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	right   = "8317"
	wrong   = "4378"
	other   = "9875"
	budget  = 5
)

// stack is a database, a Redis, and replicas of pin-internal that reach both through proxies. Each test has its own stack.
type stack struct {
	t        *testing.T
	random   *rand.Rand
	database *storetest.Database
	people   storetest.People
	admin    *pin.Store
	redis    *storetest.RedisServer

	toPostgres, toRedis *toxiproxy.Proxy
	serviceURL          string // of Postgres or of the pooler, without the proxy
	redisURL            string
	replicas            []*replica

	instance uuid.UUID
	key      token.Token
	person
}

// person is a customer with an identity on an instance.
type person struct{ customer, identity uuid.UUID }

func newStack(t *testing.T, replicas int) *stack {
	t.Helper()
	return newStackOn(t, storetest.Postgres(t), replicas)
}

func newStackOn(t *testing.T, database *storetest.Database, replicas int) *stack {
	t.Helper()
	s := &stack{t: t, random: rand.New(rand.NewPCG(run.seed, 0)), database: database, redis: storetest.OwnRedis(t)}
	s.people = storetest.NewPeople(t, s.database)
	s.serviceURL = loginURL(database.URL, schema.RolePinInternal)
	if run.pooler != nil {
		u := mustParseURL(run.pooler.URL)
		u.Path, u.RawQuery = mustParseURL(database.URL).Path, "sslmode=disable"
		s.serviceURL = u.String()
	}
	s.toPostgres, s.toRedis = proxy(t, s.serviceURL), proxy(t, s.redis.URL)
	s.redisURL = viaProxy(s.toRedis, s.redis.URL)
	ring, err := keyring.Parse(pinKeys)
	must(t, err)
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: s.database.URL, Connections: 5})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	s.admin = pin.NewStore(db, redisClient(t, s.redis.URL), ring, slowhash.NewPool(2, 100))
	s.instance = s.people.Instance()
	s.key = s.people.ProxyKey(s.instance)
	s.person = s.newPerson()
	for range replicas {
		s.replicas = append(s.replicas, s.start("pin-internal"))
	}
	return s
}

// newPerson adds a customer with an identity. The identity's PIN is the constant right.
func (s *stack) newPerson() person {
	s.t.Helper()
	p := person{customer: s.people.Customer()}
	p.identity = s.people.Identity(p.customer, s.instance)
	s.set(p, right)
	return p
}

// set sets an identity's PIN as an admin.
func (s *stack) set(p person, digits string) {
	s.t.Helper()
	chosen, err := pin.Parse(digits)
	must(s.t, err)
	_, err = s.admin.Set(context.Background(), s.instance, p.holder(), chosen, pin.ByAdmin)
	must(s.t, err)
}

func (p person) holder() pin.Holder {
	return pin.Holder{CustomerID: p.customer, IdentityID: uuid.NullUUID{UUID: p.identity, Valid: true}}
}

// lockKey is the key in Redis that says whether an identity's lock stands.
func (p person) lockKey() string { return "pin:{" + p.identity.String() + "}:lock" }

// endLock ends an identity's lock by moving its end, not the clock. A replica may remember the old end, so it also deletes the
// lock key.
func (s *stack) endLock(p person) {
	s.t.Helper()
	s.people.Exec(`update pin_holders set locked_until = now() where holder_id = $1 and locked_until > now()`, p.identity)
	redisClient(s.t, s.redis.URL).Del(context.Background(), p.lockKey())
}

// charged returns the number of an identity's charged attempts in the database.
func (s *stack) charged(p person) (n int) {
	s.t.Helper()
	s.people.Get(&n, `select count(*) from attempts where holder_id = $1`, p.identity)
	return n
}

// settled returns the number of an identity's attempts with this outcome in the database.
func (s *stack) settled(p person, outcome string) (n int) {
	s.t.Helper()
	s.people.Get(&n, `select count(*) from attempts where holder_id = $1 and outcome = $2`, p.identity, outcome)
	return n
}

// comparisons returns the number of comparisons of all running replicas, from their metrics.
func (s *stack) comparisons() (n int) {
	s.t.Helper()
	for _, r := range s.replicas {
		n += r.comparisons(s.t)
	}
	return n
}

// replica is a process of pin-internal.
type replica struct {
	url, ops string
	log      string
	process  *child.Process
	ports    [2]int
}

// start starts a replica and waits until it is ready. env are additional environment variables.
func (s *stack) start(program string, env ...string) *replica {
	s.t.Helper()
	return s.startOn([2]int{freePort(), freePort()}, program, env...)
}

func (s *stack) startOn(ports [2]int, program string, env ...string) *replica {
	s.t.Helper()
	r := &replica{url: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), ops: fmt.Sprintf("http://127.0.0.1:%d", ports[1]), ports: ports,
		log: filepath.Join(run.folder, fmt.Sprintf("%s-%d.log", program, ports[0]))}
	cmd := exec.Command(filepath.Join(run.folder, program))
	cmd.Env = append(os.Environ(), append([]string{
		fmt.Sprintf("LISTEN_ADDR=127.0.0.1:%d", ports[0]), fmt.Sprintf("OPS_LISTEN_ADDR=127.0.0.1:%d", ports[1]), "PIN_KEYS=" + pinKeys, "APPROVAL_URL=http://127.0.0.1:8082",
		"DATABASE_URL=" + viaProxy(s.toPostgres, s.serviceURL), "DATABASE_POOLED=" + strconv.FormatBool(run.pooler != nil),
		"REDIS_URL=" + s.redisURL,
	}, env...)...)
	var err error
	r.process, err = child.StartLogged(cmd, r.log, syscall.SIGKILL)
	must(s.t, err)
	s.t.Cleanup(func() {
		_ = r.process.Signal(syscall.SIGCONT)
		if err := r.process.Stop(syscall.SIGTERM, 20*time.Second); err != nil {
			s.t.Error(err)
		}
	})
	for end := time.Now().Add(20 * time.Second); !r.ready(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s is not ready:\n%s", program, child.LastLines(r.log, 10))
		}
	}
	return r
}

func (r *replica) ready() bool {
	answer, err := http.Get(r.ops + "/readyz")
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func (r *replica) comparisons(t *testing.T) int {
	t.Helper()
	answer, err := http.Get(r.ops + "/metrics")
	must(t, err)
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "pin_comparisons_total "); ok {
			n, err := strconv.Atoi(text)
			must(t, err)
			return n
		}
	}
	t.Fatal("the metric pin_comparisons_total is missing")
	return 0
}

// memory returns the largest resident memory that the replica has had, in MiB.
func (r *replica) memory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.process.PID()))
	must(t, err)
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "VmHWM:" {
			kib, err := strconv.Atoi(f[1])
			must(t, err)
			return kib / 1024
		}
	}
	return 0
}

// waitUntilFrozen waits until a signal has stopped the process.
func (r *replica) waitUntilFrozen(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.process.PID()))
		must(t, err)
		if _, after, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(after, "T") {
			return
		}
	}
	t.Fatal("the replica did not freeze")
}

// proxy starts a proxy for the server at address. addFault adds faults to it.
func proxy(t *testing.T, address string) *toxiproxy.Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, address, "127.0.0.1:0", mustParseURL(address).Host)
	must(t, p.Start())
	t.Cleanup(p.Stop)
	return p
}

// addFault adds a fault, for example {"type": "latency", "attributes": {"latency": 2000}}.
func addFault(t *testing.T, p *toxiproxy.Proxy, description string) {
	t.Helper()
	_, err := p.Toxics.AddToxicJson(strings.NewReader(description))
	must(t, err)
}

// viaProxy replaces the host of a URL by the proxy.
func viaProxy(p *toxiproxy.Proxy, address string) string {
	u := mustParseURL(address)
	u.Host = p.Listen
	return u.String()
}

func mustParseURL(address string) *url.URL {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return u
}

func freePort() int {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
