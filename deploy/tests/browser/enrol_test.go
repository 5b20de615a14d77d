package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Each state of /enrol fits a phone, has no barrier that axe-core finds, and says what it must, in both color schemes.
func TestEnrolPageStates(t *testing.T) {
	open := object{"status": "open", "customer_name": "Ada Lovelace", "expires_at": "2030-01-01T12:00:00Z"}
	answers := func(status int, answer object) func(object) (int, object) {
		return func(object) (int, object) { return status, answer }
	}
	complete := func(p *page) {
		p.chooseTwice("48265", "48265")
		p.press("Set the PIN")
	}
	for _, state := range []struct {
		name     string
		view     object
		open     int
		complete func(object) (int, object)
		steps    func(p *page)
		see      []string
	}{
		{name: "start", steps: func(*page) {}, see: []string{"Choose your PIN", "Only you know it"}},
		{name: "choose", steps: (*page).begin, see: []string{"For Ada Lovelace", "4 to 12 digits", "No run like 1234", "This link is valid until", "and once"}},
		{name: "too-short", steps: func(p *page) { p.begin(); p.digits("choose", "4"); p.press("Continue") }, see: []string{"A PIN has 4 to 12 digits."}},
		{name: "repeat", steps: func(p *page) { p.chooseTwice("48265", "") }, see: []string{"Type it once more", "Your phrase (optional)", "so that you recognise the real page"}},
		{name: "different", steps: func(p *page) { p.chooseTwice("48265", "48266"); p.press("Set the PIN") }, see: []string{"This is another PIN"}},
		{name: "weak", complete: answers(http.StatusUnprocessableEntity, object{"detail": []object{{"loc": []string{"body", "pin"}, "msg": "Value error, The PIN is too easy to guess"}}}), steps: complete,
			see: []string{"The PIN is too easy to guess. Choose another PIN."}},
		{name: "done", complete: answers(http.StatusOK, object{"status": "used"}), steps: complete, see: []string{"Your PIN is set", "This browser is now known"}},
		{name: "used", view: object{"status": "used"}, steps: (*page).begin, see: []string{"This link was used", "If you did not do that"}},
		{name: "used-meanwhile", complete: answers(http.StatusConflict, object{"detail": "…", "code": "enrolment_used"}), steps: complete, see: []string{"This link was used"}},
		{name: "expired", view: object{"status": "expired"}, steps: (*page).begin, see: []string{"This link has expired", "Ask for a new link"}},
		{name: "expired-meanwhile", complete: answers(http.StatusConflict, object{"detail": "…", "code": "enrolment_expired"}), steps: complete, see: []string{"This link has expired"}},
		{name: "unknown", open: http.StatusNotFound, steps: (*page).begin, see: []string{"This link is not known", "a newer link has replaced it"}},
		{name: "overload", complete: answers(http.StatusServiceUnavailable, object{"detail": "…", "code": "overloaded"}), steps: complete, see: []string{"The service is busy", "What you typed is still here"}},
		{name: "offline", steps: func(p *page) { p.chooseTwice("48265", "48265"); p.offline(true); p.press("Set the PIN") }, see: []string{"There is no connection", "What you typed is still here"}},
	} {
		t.Run(state.name, func(t *testing.T) {
			f := newFakeAPI(t)
			f.view = with(open, state.view)
			if state.open != 0 {
				f.openStatus = state.open
			}
			f.decide = state.complete
			p := newPage(t)
			p.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
			p.do(chromedp.Navigate(f.URL + "/enrol#cen_fake0token"))
			p.heading("Choose your PIN")
			state.steps(p)
			for _, text := range state.see {
				p.see(text)
			}
			p.checkLooks("enrol-" + state.name)
		})
	}
}

// The whole way by keyboard. After a lost answer, the page asks whether the PIN was set.
func TestEnrolByKeyboard(t *testing.T) {
	f := newFakeAPI(t)
	f.view = object{"status": "open", "customer_name": nil, "expires_at": "2030-01-01T12:00:00Z"}
	f.decide = func(body object) (int, object) {
		f.view = with(f.view, object{"status": "used"})
		return http.StatusOK, object{"status": "used"}
	}
	p := newPage(t)
	p.do(chromedp.Navigate(f.URL + "/enrol#cen_fake0token"))
	p.key(kb.Tab, kb.Enter)
	p.until("the focus on the heading", focused+` === 'choose-title'`)
	p.key(kb.Tab, "48265", kb.Enter)
	p.until("the focus on the heading", focused+` === 'repeat-title'`)
	p.key(kb.Tab, "48265", kb.Tab, "seven elephants")
	p.until("the phrase", focused+` === 'phrase'`)
	p.key(kb.Tab)
	p.until("the focus on the button", focused+` === 'set'`)
	p.key(kb.Enter)
	p.outcome("Your PIN is set")
	p.until("the focus on the heading", focused+` === 'outcome-title'`)
	if body := f.calls[len(f.calls)-1]; body != `/v1/enrolments/complete {"token":"cen_fake0token","pin":"48265","phrase":"seven elephants"}` {
		t.Errorf("the page sent %s", body)
	}
	if value[bool](p, `Array.from(document.querySelectorAll('input')).some((field) => field.value)`) {
		t.Error("the page keeps the PIN")
	}
	p.do(chromedp.Reload())
	p.see("This link was used")
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, request := range p.requests {
		if !strings.HasPrefix(strings.SplitN(request, " ", 2)[1], f.URL) {
			t.Errorf("the page sent %s", request)
		}
	}
}

// begin presses the button of the first page.
func (p *page) begin() {
	p.t.Helper()
	p.press("Begin")
}

// chooseTwice types a PIN on the keypad, and then the repeated PIN.
func (p *page) chooseTwice(pin, repeated string) {
	p.t.Helper()
	p.begin()
	p.digits("choose", pin)
	p.press("Continue")
	p.see("Type it once more")
	p.digits("repeat", repeated)
}

// digits presses keys of the keypad in a section.
func (p *page) digits(section, digits string) {
	p.t.Helper()
	for _, digit := range digits {
		p.click(fmt.Sprintf(`//section[@id=%s]//button[@aria-label=%s]`, quoted(section), quoted(string(digit))))
	}
}
