package browser

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	_ "github.com/lib/pq"

	"github.com/countersign/countersign/pkg/testkit/demostack"
	"github.com/countersign/countersign/pkg/testkit/localstores"
)

var stack *demostack.Stack

var (
	// chromium is the browser that all tests share. Each page has its own profile.
	chromium context.Context
	db       *sql.DB
)

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	program, err := localstores.Browser(context.Background(), os.Stderr)
	if err != nil {
		return 1, err
	}
	folder, err := os.MkdirTemp("", "countersign-browser-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	// If this program runs as root, Postgres runs as another user and must enter the folder.
	if err := os.Chmod(folder, 0o711); err != nil {
		return 1, err
	}
	if err := installAxe(filepath.Join(folder, "npm")); err != nil {
		return 1, err
	}
	// Access tokens expire soon, so that the console must renew them during a test.
	stack, err = demostack.Start(folder, "ACCESS_LIFETIME=2s", "RATE_LOGIN=10000", "RATE_REFRESH=10000")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stack.Stop()) }()
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
