package browser

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	_ "github.com/lib/pq"

	"github.com/countersign/countersign/pkg/testkit/localstores"
	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

// stack is what .local/demo.json says of the running one.
var stack struct {
	AuthURL          string `json:"auth_url"`
	PinAdminURL      string `json:"pin_admin_url"`
	PinInternalURL   string `json:"pin_internal_url"`
	DatabaseURL      string `json:"database_url"`
	AdminEmail       string `json:"admin_email"`
	AdminPassword    string `json:"admin_password"`
	CustomerEmail    string `json:"customer_email"`
	CustomerPassword string `json:"customer_password"`
	APIKey           string `json:"api_key"`
	ProxyKey         string `json:"proxy_key"`
	InstanceID       string `json:"instance_id"`
	MailDir          string `json:"mail_dir"`
}

var (
	// chromium is the one browser that the tests share; each has a profile of its own in it.
	chromium context.Context
	db       *sql.DB
)

func TestMain(m *testing.M) {
	code, err := prepared(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func prepared(m *testing.M) (code int, err error) {
	program, err := localstores.Browser(context.Background(), os.Stderr)
	if err != nil {
		return 1, err
	}
	folder, err := os.MkdirTemp("", "countersign-browser-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	// Postgres runs as another user when we are root.
	if err := os.Chmod(folder, 0o711); err != nil {
		return 1, err
	}
	up, err := startStack(folder)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, up.Stop(syscall.SIGTERM, time.Minute)) }()
	if db, err = sql.Open("postgres", stack.DatabaseURL); err != nil {
		return 1, err
	}
	defer db.Close()
	stop := startBrowser(program, filepath.Join(folder, "profile"))
	defer stop()
	if err := chromedp.Do(chromium); err != nil {
		return 1, fmt.Errorf("starting %s: %w", program, err)
	}
	return m.Run(), nil
}

// startStack runs what make run runs, with stores of its own, and returns when everything is ready.
func startStack(folder string) (*child.Process, error) {
	const module = "github.com/countersign/countersign/"
	bin := filepath.Join(folder, ".local", "bin")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", bin+"/", module+"deploy/countersign",
		module+"services/auth", module+"services/pin-admin", module+"services/pin-internal")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the stack: %w\n%s", err, out)
	}
	cmd := exec.Command(filepath.Join(bin, "countersign"), "up")
	cmd.Dir = folder
	// Access tokens expire all the time, so that the console has to renew them, and more often than people do.
	cmd.Env = append(os.Environ(), "PORT_BASE="+strconv.Itoa(freePorts()), "ACCESS_LIFETIME=2s", "RATE_LOGIN=10000", "RATE_REFRESH=10000", "DATABASE_URL=", "REDIS_URL=")
	log := filepath.Join(folder, "up.log")
	up, err := child.StartLogged(cmd, log, syscall.SIGTERM)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		content, err := os.ReadFile(filepath.Join(folder, ".local", "demo.json"))
		if err == nil {
			return up, json.Unmarshal(content, &stack)
		}
		select {
		case <-up.Done():
			return nil, fmt.Errorf("the stack did not start:\n%s", child.LastWords(log, 20))
		default:
		}
		if time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("the stack is not ready:\n%s", child.LastWords(log, 20)), up.Stop(syscall.SIGTERM, time.Minute))
		}
	}
}

// freePorts returns a base for the stack, which takes the ports from one to five and from 1001 to 1005 above it.
func freePorts() int {
	for base := 20000 + os.Getpid()%2000*5; ; base += 10 {
		taken := func(port int) bool {
			l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				l.Close()
			}
			return err != nil
		}
		free := true
		for i := 1; i <= 5; i++ {
			free = free && !taken(base+i) && !taken(base+1000+i)
		}
		if free {
			return base
		}
	}
}

func startBrowser(program, profile string) (stop func()) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(profile),
		chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("no-proxy-server", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	var stopBrowser func()
	chromium, stopBrowser = chromedp.NewContext(allocator)
	return func() { stopBrowser(); stopAllocator() }
}
