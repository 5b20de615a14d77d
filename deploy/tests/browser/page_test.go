package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

// patience is how long a test waits for anything it expects to see.
const patience = 20 * time.Second

// page is a tab with a profile of its own. Whatever the browser complains about fails its test.
type page struct {
	t   *testing.T
	ctx context.Context

	mu sync.Mutex
	// complaints are the browser's; expected is a part of those that the test is about.
	complaints []string
	expected   string
	// asked are the requests so far, each as METHOD URL; bearer is the last access token among them.
	asked  []string
	bearer string
}

func newPage(t *testing.T) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &page{t: t, ctx: ctx}
	must(t, chromedp.Listen(ctx, p.hear))
	p.do(chromedp.EmulateViewport(1280, 900))
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, complaint := range p.complaints {
			if p.expected == "" || !strings.Contains(complaint, p.expected) {
				t.Errorf("the browser complains: %s", complaint)
			}
		}
		if t.Failed() {
			text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
			t.Logf("the page when it failed (%v):\n%.2000s", err, text)
		}
	})
	return p
}

func (p *page) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.complaints = append(p.complaints, (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			p.complaints = append(p.complaints, fmt.Sprintf("%s: %v", e.Type, e.Args))
		}
	case *log.EventEntryAdded: // a refused request is one too, and expected
		if e.Entry.Source != log.EntrySourceNetwork && e.Entry.Level != log.EntryLevelVerbose {
			p.complaints = append(p.complaints, e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		p.asked = append(p.asked, e.Request.Method+" "+e.Request.URL+e.Request.URLFragment)
		if bearer, ok := e.Request.Headers["Authorization"].(string); ok {
			p.bearer = bearer
		}
	}
}

func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	must(p.t, chromedp.Do(ctx, steps...))
}

// see waits until an element with this text, and no other than in it, is to be seen.
func (p *page) see(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%q to be seen", text), fmt.Sprintf(`document.body.innerText.includes(%s)`, quoted(text)))
}

func (p *page) gone(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%q to be gone", text), fmt.Sprintf(`!document.body.innerText.includes(%s)`, quoted(text)))
}

// until waits for a condition on the page.
func (p *page) until(what, condition string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	// Not chromedp.Poll: it makes a function of text, which the page's own policy forbids.
	for {
		holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`Boolean(`+condition+`)`))
		if holds {
			return
		}
		if ctx.Err() != nil {
			p.t.Fatalf("waited in vain for %s (%v)", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// value returns what an expression comes to on the page.
func value[T any](p *page, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	must(p.t, err)
	return v
}

// press clicks the button of this name: in the open dialog when there is one.
func (p *page) press(name string) {
	p.t.Helper()
	p.click(fmt.Sprintf(`//button[normalize-space()=%s or @aria-label=%[1]s]`, quoted(name)))
}

func (p *page) follow(link string) {
	p.t.Helper()
	p.click(fmt.Sprintf(`//a[normalize-space()=%s or .//strong[normalize-space()=%[1]s]]`, quoted(link)))
}

func (p *page) click(path string) {
	p.t.Helper()
	p.do(chromedp.Click(p.inDialog(path), chromedp.NodeVisible))
}

// inDialog leads a path into the open dialog when there is one: nothing else can be reached then.
func (p *page) inDialog(path string) string {
	p.t.Helper()
	if value[bool](p, `document.querySelector('dialog[open]') !== null`) {
		return `//dialog[@open]` + path
	}
	return path
}

// field is the path to what a label is for.
func (p *page) field(label string) string {
	p.t.Helper()
	labels := p.inDialog(fmt.Sprintf(`//label[normalize-space()=%s]`, quoted(label)))
	p.do(chromedp.WaitVisible(labels))
	return fmt.Sprintf(`//*[@id=(%s)/@for]`, labels)
}

func (p *page) fill(label, text string) {
	p.t.Helper()
	field := p.field(label)
	p.do(chromedp.Focus(field), chromedp.Evaluate[chromedp.Void](`document.activeElement.select()`), chromedp.KeyEvent(kb.Backspace+text))
}

// choose picks an option of a select by its text.
func (p *page) choose(label, option string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(p.field(label), option))
}

func (p *page) key(keys ...string) {
	p.t.Helper()
	for _, k := range keys {
		p.do(chromedp.KeyEvent(k))
	}
}

// open goes to a page of the console, which has this heading.
func (p *page) open(hash, heading string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void (location.hash = %s)`, quoted(hash))))
	p.heading(heading)
}

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

// shot keeps a picture in the folder SCREENSHOTS, for people who work on the looks.
func (p *page) shot(name string) {
	p.t.Helper()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	must(p.t, err)
	must(p.t, os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600))
}
