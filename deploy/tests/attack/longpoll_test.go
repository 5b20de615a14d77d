//go:build attack

package attack

import (
	"bufio"
	"crypto/ed25519"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

const (
	longPolls = 10_000
	issuer    = "https://auth.example.com"
	// maxKiB is the limit for the resident memory of one waiting request.
	maxKiB = 24
	// maxDelay is the limit for the time between setting the PIN and the last answer.
	maxDelay = time.Second
	// idleTime is how long the test measures the use of the processor.
	idleTime = 10 * time.Second
)

// 10,000 long polls wait in one pin-admin. The test measures their memory and use of the processor, and then sets the PIN that
// they wait for.
func TestTenThousandLongPolls(t *testing.T) {
	s := newStack(t, 0)
	admin := s.startAdmin(loginURL(s.database.URL, schema.RolePinAdmin))
	access := s.accessToken()
	before := admin.resident(t)
	connections := make([]net.Conn, longPolls)
	request := "GET /user/pin?timeout=60 HTTP/1.1\r\nHost: pin-admin\r\nAuthorization: Bearer " + access + "\r\n\r\n"
	for i := range connections {
		c, err := net.Dial("tcp", admin.address)
		must(t, err)
		defer c.Close()
		_, err = c.Write([]byte(request))
		must(t, err)
		connections[i] = c
	}
	// Wait for a second in which the process is idle.
	for end := time.Now().Add(30 * time.Second); ; {
		ticks := admin.ticks(t)
		if time.Sleep(time.Second); admin.ticks(t)-ticks <= 2 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("pin-admin is not idle after 30 seconds")
		}
	}
	ticks := admin.ticks(t)
	time.Sleep(idleTime)
	busy := float64(admin.ticks(t)-ticks) / 100 / idleTime.Seconds()
	each := float64(admin.resident(t)-before) / longPolls / 1024
	fmt.Printf("%d long polls: %.1f KiB each, %.2f %% of a core\n", longPolls, each, busy*100)
	if each > maxKiB {
		t.Errorf("%.1f KiB for each long poll, want at most %d", each, maxKiB)
	}
	if busy > 0.05 {
		t.Errorf("%.2f %% of a core while idle, want at most 5 %%", busy*100)
	}

	start := time.Now()
	s.setPINByAPI(admin)
	set := time.Since(start)
	answers := make(chan string, longPolls)
	for _, c := range connections {
		go func() {
			status, err := bufio.NewReaderSize(c, 64).ReadString('\n')
			answers <- fmt.Sprint(strings.TrimSpace(status), err)
		}()
	}
	for i := range longPolls {
		if a := <-answers; !strings.HasPrefix(a, "HTTP/1.1 200") {
			t.Fatalf("answer %d: %s", i, a)
		}
	}
	took := time.Since(start) - set
	fmt.Printf("all answered %v after the PIN was set\n", took.Round(time.Millisecond))
	if took > maxDelay {
		t.Errorf("the last answer came after %v, want at most %v", took, maxDelay)
	}
}

// adminProcess is a process of pin-admin.
type adminProcess struct {
	address string
	process *child.Process
	pid     int
}

// startAdmin starts a pin-admin that connects to Postgres at databaseURL.
func (s *stack) startAdmin(databaseURL string) adminProcess {
	s.t.Helper()
	path := filepath.Join(run.folder, "pin-admin")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "github.com/countersign/countersign/services/pin-admin").CombinedOutput()
	if err != nil {
		s.t.Fatalf("building pin-admin: %v\n%s", err, out)
	}
	a := adminProcess{address: fmt.Sprintf("127.0.0.1:%d", freePort())}
	ops := fmt.Sprintf("127.0.0.1:%d", freePort())
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), "LISTEN_ADDR="+a.address, "OPS_LISTEN_ADDR="+ops, "PIN_KEYS="+pinKeys, "AUTH_ISSUER="+issuer, "APPROVAL_URL=http://127.0.0.1:8082", "LONG_POLLS_PER_USER="+strconv.Itoa(longPolls),
		"DATABASE_URL="+databaseURL, "REDIS_URL="+s.redis.URL)
	a.process, err = child.StartLogged(cmd, path+".log", syscall.SIGKILL)
	must(s.t, err)
	a.pid = cmd.Process.Pid
	s.t.Cleanup(func() {
		if err := a.process.Stop(syscall.SIGTERM, 20*time.Second); err != nil {
			s.t.Error(err)
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if answer, err := http.Get("http://" + ops + "/readyz"); err == nil {
			answer.Body.Close()
			return a
		}
		if time.Now().After(end) {
			s.t.Fatalf("pin-admin is not ready:\n%s", child.LastLines(path+".log", 10))
		}
	}
}

// resident returns the resident memory of the process in bytes.
func (a adminProcess) resident(t *testing.T) int {
	t.Helper()
	return a.stat(t, "statm", 1) * os.Getpagesize()
}

// ticks returns the processor time that the process has used, in hundredths of a second.
func (a adminProcess) ticks(t *testing.T) int {
	t.Helper()
	return a.stat(t, "stat", 13) + a.stat(t, "stat", 14)
}

func (a adminProcess) stat(t *testing.T, file string, field int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", a.pid, file))
	must(t, err)
	n, err := strconv.Atoi(strings.Fields(string(text))[field])
	must(t, err)
	return n
}

// accessToken returns an access token of the customer's user, in the form in which auth signs it.
func (s *stack) accessToken() string {
	s.t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	must(s.t, err)
	kid := uuid.New()
	s.people.Exec(`insert into signing_keys (id, public_key, private_sealed) values ($1, $2, '')`, kid, []byte(public))
	var user, session uuid.UUID
	var email string
	s.people.Get(&email, `select email from customers where id = $1`, s.customer)
	s.people.Get(&user, `insert into users (email, password_hash, email_confirmed_at) values ($1, '', now()) returning id`, email)
	s.people.Get(&session, `insert into user_sessions (user_id, expires_at) values ($1, now() + interval '1 day') returning id`, user)
	unsigned := jwt.NewWithClaims(jwt.SigningMethodEdDSA, accesstoken.Claims{ClientID: accesstoken.SignInClient, SessionID: session, Role: "user", Email: email, AuthTime: jwt.NewNumericDate(time.Now()), RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Subject: user.String(), Audience: jwt.ClaimStrings{accesstoken.Audience}, ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(15 * time.Minute)),
	}})
	unsigned.Header["kid"], unsigned.Header["typ"] = kid.String(), accesstoken.Type
	text, err := unsigned.SignedString(private)
	must(s.t, err)
	return text
}

// setPINByAPI sets the customer's PIN with the API of pin-admin.
func (s *stack) setPINByAPI(a adminProcess) {
	s.t.Helper()
	if status := s.setByAPI(a, "/v1/customers/"+s.customer.String()+"/pin", right); status != http.StatusOK {
		s.t.Fatalf("setting the PIN: status %d", status)
	}
}

// setByAPI sets a PIN with the API of pin-admin, and returns the status of the answer.
func (s *stack) setByAPI(a adminProcess, path, digits string) int {
	s.t.Helper()
	r, err := http.NewRequest("POST", "http://"+a.address+path, strings.NewReader(`{"pin":"`+digits+`"}`))
	must(s.t, err)
	r.Header.Set("X-Api-Key", s.people.APIKey("admin").Reveal())
	answer, err := http.DefaultClient.Do(r)
	must(s.t, err)
	answer.Body.Close()
	return answer.StatusCode
}
