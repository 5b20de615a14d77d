package browser

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// focused is JavaScript for the id of the element that has the focus.
const focused = `document.activeElement.id`

// approves answers a decision as Countersign does when the PIN is right.
func approves(f *fakeAPI) func(object) (int, object) {
	return func(body object) (int, object) {
		status := map[any]string{"approve": "approved", "deny": "denied"}[body["decision"]]
		f.view = with(f.view, object{"status": status})
		return http.StatusOK, decision(status, nil)
	}
}

// A scanner that opens a link, also one that runs scripts, sends nothing and uses nothing up.
func TestLinkScanner(t *testing.T) {
	f := newFakeAPI(t)
	for _, path := range []string{"/approve", "/enrol"} {
		p := newPage(t)
		p.do(chromedp.Navigate(f.URL + path + "#" + fakeToken))
		p.until("the token to leave the address bar", `location.hash === '' && document.readyState === 'complete'`)
		if value[bool](p, `document.documentElement.outerHTML.includes('cap_')`) {
			t.Errorf("%s shows the token", path)
		}
		p.mu.Lock()
		if sent := strings.Join(p.requests, " "); sent != "GET "+f.URL+path+"#"+fakeToken { // the browser does not send the fragment
			t.Errorf("%s sent %s", path, sent)
		}
		p.mu.Unlock()
	}
	for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
		for _, path := range []string{"/approve", "/enrol", "/approve?token=" + fakeToken} {
			if status, _ := request(t, method, f.URL+path, nil); status >= http.StatusInternalServerError {
				t.Errorf("%s %s: %d", method, path, status)
			}
		}
	}
	if len(f.calls) != 0 {
		t.Errorf("the API received %v", f.calls)
	}
}

// No page can show the approval in a frame, also no page of its own origin, so nobody can put something else on top of it.
func TestClickjacking(t *testing.T) {
	f := newFakeAPI(t)
	for _, path := range []string{"/approve", "/enrol"} {
		p := newPage(t)
		p.allowedError = "frame-ancestors"
		p.do(chromedp.Navigate(f.URL + "/frame?of=" + path))
		p.until("the frame to be refused", `globalThis.framed !== undefined`)
		if value[bool](p, `framed`) {
			t.Errorf("a frame shows %s", path)
		}
		response, err := http.Get(f.URL + path)
		must(t, err)
		response.Body.Close()
		if header := response.Header; header.Get("X-Frame-Options") != "DENY" || !strings.Contains(header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s may be framed: %v", path, header)
		}
	}
}

// Reload and the back button show the present state, not the state that the page had.
func TestReloadAndBackShowThePresentState(t *testing.T) {
	f := newFakeAPI(t)
	p := newPage(t)
	f.openLink(p)
	p.do(chromedp.Reload())
	p.heading("An agent asks for your approval") // nothing is loaded before the person pressed the button
	if n := f.received("/v1/approvals/open"); n != 0 {
		t.Errorf("a reload before the button sent %d requests", n)
	}
	p.show()
	p.see("Send 250.00 EUR")
	p.do(chromedp.Reload())
	p.see("Send 250.00 EUR")
	f.set(object{"status": "used"})
	p.do(chromedp.Reload())
	p.see("Already used")
	f.set(object{"status": "pending"})
	p.do(chromedp.Reload())
	p.see("Send 250.00 EUR")
	p.do(chromedp.Navigate(stack.PinAdminURL + "/docs"))
	p.heading("Countersign pin-admin")
	f.set(object{"status": "cancelled"})
	p.do(chromedp.Evaluate[chromedp.Void](`history.back()`))
	p.see("No longer needed")
	// Another link in the same tab is another approval, and the back button returns to the first.
	p.do(chromedp.Evaluate[chromedp.Void](`void (location.href = '/approve#cap_another')`))
	p.see("Nothing happens before you decide")
	p.show()
	p.see("No longer needed")
	if last := f.calls[len(f.calls)-1]; !strings.Contains(last, `{"token":"cap_another"}`) {
		t.Errorf("the last request is %s", last)
	}
	p.do(chromedp.Evaluate[chromedp.Void](`history.back()`))
	p.until("the first link", fmt.Sprintf(`history.state?.token === %s`, quoted(fakeToken)))
}

// Two tabs: the first decision counts, and the second tab shows it.
func TestTwoTabs(t *testing.T) {
	f := newFakeAPI(t)
	f.decide = approves(f)
	first, second := newPage(t), newPage(t)
	for _, p := range []*page{first, second} {
		f.openLink(p)
		p.show()
		p.see("Send 250.00 EUR")
	}
	first.press("Deny")
	first.outcome("Denied")
	f.decide = func(object) (int, object) {
		return http.StatusConflict, object{"detail": "The approval was denied", "code": "approval_denied"}
	}
	second.type4()
	second.press("Approve")
	second.outcome("Denied")
}

// A double tap sends one request, and so do taps while the request runs.
func TestDoubleTap(t *testing.T) {
	f := newFakeAPI(t)
	f.decide = approves(f)
	p := newPage(t)
	f.openLink(p)
	p.do(chromedp.Evaluate[chromedp.Void](`show.click(); show.click()`))
	p.see("Send 250.00 EUR")
	p.type4()
	f.mu.Lock()
	f.hold = make(chan struct{})
	f.mu.Unlock()
	p.do(chromedp.Evaluate[chromedp.Void](`approve.click(); approve.click(); deny.click(); form.requestSubmit()`))
	p.see("One moment…")
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.key').click()`)) // a running request keeps its PIN
	close(f.hold)
	p.outcome("Approved")
	if opened, decided := f.received("/v1/approvals/open"), f.received("/v1/approvals/decide"); opened != 1 || decided != 1 {
		t.Errorf("%d requests to open and %d decisions, want one of each", opened, decided)
	}
	if last := f.calls[len(f.calls)-1]; !strings.Contains(last, `"decision":"approve","pin":"4826"}`) || !strings.Contains(last, `"view_hash":"aa"`) {
		t.Errorf("the decision is %s", last)
	}
}

// While the browser is offline nothing is lost. Afterwards the page first asks whether the decision arrived.
func TestOffline(t *testing.T) {
	f := newFakeAPI(t)
	f.decide = approves(f)
	p := newPage(t)
	f.openLink(p)
	p.offline(true)
	p.show()
	p.see("There is no connection")
	p.offline(false)
	p.show()
	p.see("Send 250.00 EUR")
	p.type4()
	p.offline(true)
	p.press("Approve")
	p.see("Your PIN is still here")
	p.do(chromedp.Evaluate[chromedp.Void](`problem.textContent = ''`))
	p.press("Approve")
	p.see("Your PIN is still here")
	p.offline(false)
	p.press("Approve")
	p.outcome("Approved")
	if n := f.received("/v1/approvals/decide"); n != 1 {
		t.Errorf("%d decisions arrived, want 1", n)
	}
}

// The answer to a decision is lost. The page does not send the PIN again, because this could cost a second try.
func TestLostAnswerDoesNotCostASecondTry(t *testing.T) {
	for _, arrived := range []struct {
		name   string
		change object
		see    string
	}{
		{"approved", object{"status": "approved"}, "may now do this once"},
		{"wrong", object{"tries_left": 1}, "Your last PIN arrived, and it did not approve. Type your PIN again: 1 try is left at this link."},
	} {
		t.Run(arrived.name, func(t *testing.T) {
			f := newFakeAPI(t)
			p := newPage(t)
			f.decide = func(object) (int, object) {
				f.view = with(f.view, arrived.change)
				return http.StatusServiceUnavailable, object{"detail": "…", "code": "outcome_unknown"}
			}
			f.openLink(p)
			enterPIN(p, f)
			p.see("Your PIN is still here")
			p.press("Approve")
			p.see(arrived.see)
			if n := f.received("/v1/approvals/decide"); n != 1 {
				t.Errorf("%d decisions were sent, want 1", n)
			}
		})
	}
}

// The page works by keyboard alone. The focus moves to what is new, and is never lost.
func TestApproveByKeyboard(t *testing.T) {
	f := newFakeAPI(t)
	f.set(object{"arguments": []object{argument("memo", strings.Repeat("x", 400))}})
	f.decide = func(object) (int, object) {
		return http.StatusOK, decision("pending", object{"error": "invalid_pin", "remaining_attempts": 4, "remaining_tries": 1})
	}
	p := newPage(t)
	f.openLink(p)
	p.key(kb.Tab, kb.Enter)
	p.until("the focus on the heading", focused+` === 'title'`)
	p.key(kb.Tab)
	if text := value[string](p, `document.activeElement.innerText`); text != "Show all 400 characters" {
		t.Errorf("the focus is on %q", text)
	}
	p.key(kb.Enter)
	p.until("the whole value", fmt.Sprintf(`document.activeElement.textContent === %s`, quoted(strings.Repeat("x", 400))))
	p.key(kb.Tab)
	p.until("the focus on the field", focused+` === 'pin'`)
	p.key("48a2b6", kb.Enter)
	p.see("This PIN is wrong")
	p.until("the focus on the field, which is empty", focused+` === 'pin' && pin.value === ''`)
	p.until("the field to be invalid", `pin.getAttribute('aria-invalid') === 'true' && problem.getAttribute('role') === 'alert'`)
	f.mu.Lock()
	f.decide = approves(f)
	f.mu.Unlock()
	p.key("4826", kb.Tab)
	p.until("the focus on Approve", focused+` === 'approve'`)
	p.key(kb.Tab)
	p.until("the focus on Deny", focused+` === 'deny'`)
	p.key(kb.Tab) // out of the page: the focus is not trapped
	p.until("the focus outside", `document.activeElement === document.body`)
	p.do(chromedp.Focus(`//button[@id="approve"]`))
	p.key(kb.Enter)
	p.outcome("Approved")
	p.until("the focus on the heading", focused+` === 'outcome-title'`)
	if body := f.calls[len(f.calls)-1]; !strings.Contains(body, `"pin":"4826"`) {
		t.Errorf("the decision is %s", body)
	}
}

// The keypad fills the field, and a screen reader hears how many digits there are, but not which.
func TestKeypad(t *testing.T) {
	f := newFakeAPI(t)
	p := newPage(t)
	p.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch))
	f.openLink(p)
	p.show()
	for _, key := range []string{"1", "2", "3", "Delete the last digit", "4", "0"} {
		p.press(key)
	}
	p.until("the field and the announcement", `pin.value === '1240' && announcement.textContent === '4 digits'`)
	if kind := value[string](p, `[pin.type, pin.inputMode, pin.autocomplete].join(' ')`); kind != "password numeric off" {
		t.Errorf("the field is %s", kind)
	}
	if value[string](p, focused) == "pin" {
		t.Error("the keypad gave the field the focus: the keyboard of the phone covers it")
	}
	for range 12 {
		p.press("7")
	}
	p.until("12 digits", `pin.value === '124077777777'`)
}

// The time left comes from the server. The clock of the device does not count.
func TestTimeLeftIgnoresTheClockOfTheDevice(t *testing.T) {
	f := newFakeAPI(t)
	p := newPage(t)
	f.openLink(p)
	p.do(chromedp.Evaluate[chromedp.Void](`Date.now = () => 4e12; globalThis.Date = class extends Date { constructor(...a) { super(...(a.length ? a : [4e12])); } }`))
	p.show()
	p.see("9 min left")
	f.set(object{"expires_in": 1})
	p.do(chromedp.Reload())
	p.see("0:01 left")
	f.set(object{"status": "expired"})
	p.see("The time is over")
	f.set(object{"status": "pending", "expires_in": 500, "pin": object{"state": "locked", "locked_until": "2030-01-01T12:00:00Z", "locked_for": 1}})
	p.do(chromedp.Reload())
	p.see("Your PIN is locked")
	f.set(object{"pin.state": "active"})
	p.until("the keypad after the lock", `form.checkVisibility()`)
}

// A skill without a template has its name as the title and as the summary. The page shows it once, but no warning is lost.
func TestNameOfASkillIsNotRepeated(t *testing.T) {
	f := newFakeAPI(t)
	f.set(object{"title": "files.delete", "summary_parts": []object{{"value": "files.delete", "flags": []string{}}}})
	p := newPage(t)
	f.openLink(p)
	p.show()
	p.until("the name once", `title.innerText === 'files.delete' && !summary.checkVisibility()`)
	f.set(object{"summary_parts": []object{{"value": "files.delete", "flags": []string{"mixed_scripts"}}}})
	p.do(chromedp.Reload())
	p.until("the marked name", `summary.innerText === 'files.delete' && summary.querySelector('.flagged') !== null`)
}

// Values cannot change the page: no HTML, and no direction of writing outside of their own element.
func TestValuesAreTextAndIsolated(t *testing.T) {
	const evil = `<img src=x onerror="document.title='pwned'"><script>document.title='pwned'</script>` + "\u202eEUR 1\u202c"
	f := newFakeAPI(t)
	f.set(object{"instance_name": evil, "customer_name": evil, "requester": evil, "title": evil, "note": evil, "phrase": evil,
		"summary_parts": []object{{"text": evil}, {"value": evil, "flags": []string{}}}, "arguments": []object{argument(evil, evil)}})
	p := newPage(t)
	f.openLink(p)
	p.show()
	p.see("Requested by")
	if value[bool](p, `document.querySelector('main img, main script') !== null || document.title.startsWith('pwned')`) {
		t.Error("a value became HTML")
	}
	isolated := value[[]string](p, `Array.from(document.querySelectorAll('bdi')).filter((e) => e.textContent.includes('EUR 1')).map((e) => e.closest('[id]').id)`)
	for _, id := range []string{"asking", "title", "summary", "arguments", "people", "note-text", "phrase"} {
		if !slices.Contains(isolated, id) {
			t.Errorf("%s shows a value that is not isolated", id)
		}
	}
}
