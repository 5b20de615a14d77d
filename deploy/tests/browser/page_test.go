package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// waitTimeout is the longest time that a test waits for a change on a page.
const waitTimeout = 20 * time.Second

// page is a browser tab with its own profile. An error of the browser fails the test.
type page struct {
	t   *testing.T
	ctx context.Context

	mu sync.Mutex
	// browserErrors are the browser's errors. An error that contains allowedError does not fail the test.
	browserErrors []string
	allowedError  string
	// requests are all requests, each in the form METHOD URL. bearer is the last Authorization header.
	requests []string
	bearer   string
}

func newPage(t *testing.T) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &page{t: t, ctx: ctx}
	must(t, chromedp.Listen(ctx, p.onEvent))
	p.do(chromedp.EmulateViewport(1280, 900))
	t.Cleanup(func() {
		p.mu.Lock()
		browserErrors := slices.Clone(p.browserErrors)
		p.mu.Unlock() // onEvent needs the lock while the browser evaluates the text below
		for _, text := range browserErrors {
			if p.allowedError == "" || !strings.Contains(text, p.allowedError) {
				t.Errorf("the browser reports an error: %s", text)
			}
		}
		if t.Failed() {
			text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
			t.Logf("the page at the end of the failed test (%v):\n%.2000s", err, text)
		}
	})
	return p
}

// onEvent records the browser's errors and the requests.
func (p *page) onEvent(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.browserErrors = append(p.browserErrors, (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			p.browserErrors = append(p.browserErrors, fmt.Sprintf("%s: %v", e.Type, e.Args))
		}
	case *log.EventEntryAdded: // a response with an error status is an entry too, but is expected
		if e.Entry.Source != log.EntrySourceNetwork && e.Entry.Level != log.EntryLevelVerbose {
			p.browserErrors = append(p.browserErrors, e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.Method+" "+e.Request.URL+e.Request.URLFragment)
		if bearer, ok := e.Request.Headers["Authorization"].(string); ok {
			p.bearer = bearer
		}
	}
}

// do runs steps in the page.
func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, waitTimeout)
	defer cancel()
	must(p.t, chromedp.Do(ctx, steps...))
}

// see waits until the page shows a text.
func (p *page) see(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("the page to show %q", text), fmt.Sprintf(`document.body.innerText.includes(%s)`, quoted(text)))
}

// waitUntilHidden waits until the page does not show a text.
func (p *page) waitUntilHidden(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("the page not to show %q", text), fmt.Sprintf(`!document.body.innerText.includes(%s)`, quoted(text)))
}

// until waits until a JavaScript condition is true. what describes the condition.
func (p *page) until(what, condition string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, waitTimeout)
	defer cancel()
	// chromedp.Poll does not work here: it compiles a string to a function, which the page's content security policy forbids.
	for {
		isTrue, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`Boolean(`+condition+`)`))
		if isTrue {
			return
		}
		if ctx.Err() != nil {
			p.t.Fatalf("timeout while waiting for %s (%v)", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// value returns the value of a JavaScript expression.
func value[T any](p *page, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	must(p.t, err)
	return v
}

// press clicks the button with this name.
func (p *page) press(name string) {
	p.t.Helper()
	p.click(fmt.Sprintf(`//button[normalize-space()=%s or @aria-label=%[1]s]`, quoted(name)))
}

// follow clicks a link.
func (p *page) follow(link string) {
	p.t.Helper()
	p.click(fmt.Sprintf(`//a[normalize-space()=%s or .//strong[normalize-space()=%[1]s]]`, quoted(link)))
}

// click clicks the element with an XPath. It first waits until nothing is loading, because new content moves the element, and the
// click would miss it.
func (p *page) click(path string) {
	p.t.Helper()
	p.until("the page to be loaded", `!(Array.from(document.querySelectorAll('dialog[open]')).at(-1) ?? document).querySelector('[aria-busy]')`)
	p.do(chromedp.Click(p.inDialog(path), chromedp.NodeVisible))
}

// inDialog limits an XPath to the topmost open dialog, if there is one. Elements behind the dialog cannot be clicked.
func (p *page) inDialog(path string) string {
	p.t.Helper()
	if value[bool](p, `document.querySelector('dialog[open]') !== null`) {
		return `//dialog[@open][last()]` + path // the dialogs are siblings, and the last one is on top
	}
	return path
}

// field returns the XPath of the field with this label.
func (p *page) field(label string) string {
	p.t.Helper()
	labels := p.inDialog(fmt.Sprintf(`//label[normalize-space()=%s]`, quoted(label)))
	p.do(chromedp.WaitVisible(labels))
	return fmt.Sprintf(`//*[@id=(%s)/@for]`, labels)
}

// fill replaces the text of a field.
func (p *page) fill(label, text string) {
	p.t.Helper()
	field := p.field(label)
	p.do(chromedp.Focus(field), chromedp.Evaluate[chromedp.Void](`document.activeElement.select()`), chromedp.KeyEvent(kb.Backspace+text))
}

// choose selects the option with this text.
func (p *page) choose(label, option string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(p.field(label), option))
}

// key presses keys.
func (p *page) key(keys ...string) {
	p.t.Helper()
	for _, k := range keys {
		p.do(chromedp.KeyEvent(k))
	}
}

// open opens a page of the console and waits for its heading.
func (p *page) open(hash, heading string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void (location.hash = %s)`, quoted(hash))))
	p.heading(heading)
}

// heading waits until the page has this heading.
func (p *page) heading(text string) {
	p.t.Helper()
	p.until("the heading "+text, fmt.Sprintf(`document.querySelector('h1')?.innerText === %s`, quoted(text)))
}

// signIn opens the console and signs the admin in.
func (p *page) signIn() {
	p.t.Helper()
	p.do(chromedp.Navigate(stack.PinAdminURL + "/console"))
	p.fill("Email address", stack.AdminEmail)
	p.fill("Password", stack.AdminPassword)
	p.key(kb.Enter)
	p.heading("Customers")
}

// screenshot writes a picture of the page to the folder SCREENSHOTS, if this environment variable is set.
func (p *page) screenshot(name string) {
	p.t.Helper()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	must(p.t, err)
	must(p.t, os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600))
}
