package browser

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Each state of /approve fits a phone, has no barrier that axe-core finds, and says what it must, in both color schemes.
func TestApprovePageStates(t *testing.T) {
	var many []object
	for i := range 12 {
		many = append(many, argument(fmt.Sprintf("lines.%d.description", i), strings.Repeat("a long description ", i*2)))
	}
	wrong := func(fields object) func(object) (int, object) {
		return func(object) (int, object) { return http.StatusOK, decision("pending", fields) }
	}
	fails := func(status int, code string) func(object) (int, object) {
		return func(object) (int, object) { return status, object{"detail": "…", "code": code} }
	}
	for _, state := range []struct {
		name string
		view object
		// open is the HTTP status of open. 0: 200.
		open   int
		decide func(body object) (int, object)
		// steps are what the person does after the page shows what is asked.
		steps func(p *page, f *fakeAPI)
		see   []string
	}{
		{name: "start", steps: func(*page, *fakeAPI) {}, see: []string{"An agent asks for your approval", "Nothing happens before you decide"}},
		{name: "loading", steps: func(p *page, f *fakeAPI) {
			f.mu.Lock()
			f.hold = make(chan struct{})
			f.mu.Unlock()
			p.do(chromedp.Click(`//button[@id="show"]`))
			p.t.Cleanup(func() { close(f.hold) })
		}, see: []string{"One moment…"}},
		{name: "asked", see: []string{"Ada’s assistant asks you to approve", "Send money", "Send 250.00 EUR to Charles Babbage.", "to.iban", "DE89 3704 0044 0532 0130 00", "The agent says",
			"You asked me to pay", "Ada Lovelace", "production", "9 min left", "seven blue elephants", "You need no PIN to deny"}},
		{name: "session", view: object{"grants": "session", "session": object{"skills": []string{"orders.read", "orders.change"}, "minutes": 15}, "known_browser": false, "phrase": nil},
			see: []string{"Open 2 protected skills for 15 minutes", "orders.change", "The reason: Send money", "This browser cannot show your phrase"}},
		{name: "session-all", view: object{"grants": "session", "session": object{"skills": nil, "minutes": 1}, "note": nil, "requester": nil, "audience": nil, "arguments": []object{}, "summary_parts": []object{}, "phrase": nil},
			see: []string{"Open all protected skills for 1 minute", "There are no further details"}},
		{name: "flags", view: object{
			"summary_parts": []object{{"text": "Send 250.00 EUR to "}, {"value": "pаypal⟨U+202E⟩moc", "flags": []string{"hidden_characters", "mixed_scripts"}}},
			"arguments":     append([]object{argument("to", "pаypal⟨U+202E⟩moc", "hidden_characters", "mixed_scripts"), argument("name", "Zoë", "not_nfc"), argument("memo", "⟨empty⟩")}, many...)},
			see: []string{"invisible characters", "letters of different alphabets", "unusual spelling", "⟨empty⟩", "Show all 190 characters"}},
		{name: "huge-words", view: object{"title": strings.Repeat("Sendmoney", 11), "instance_name": strings.Repeat("name", 30), "requester": strings.Repeat("key", 40), "note": strings.Repeat("longword", 60),
			"phrase": strings.Repeat("phrase", 16), "arguments": []object{argument(strings.Repeat("path.", 40), strings.Repeat("x", 150))}}, see: []string{"Sendmoneysendmoney"}[:0]},
		{name: "wrong-pin", decide: wrong(object{"error": "invalid_pin", "remaining_attempts": 3, "remaining_tries": 1}), steps: enterPIN,
			see: []string{"This PIN is wrong: 1 try is left at this link. After 3 more wrong PINs your PIN is locked."}},
		{name: "wrong-pin-locks", decide: wrong(object{"error": "invalid_pin", "remaining_attempts": 0, "remaining_tries": 1, "locked_until": "2030-01-01T12:00:00Z"}), steps: func(p *page, f *fakeAPI) {
			p.show()
			p.type4()
			f.set(object{"tries_left": 1, "pin": object{"state": "locked", "locked_until": "2030-01-01T12:00:00Z", "locked_for": 900}})
			p.press("Approve")
		}, see: []string{"Your PIN is locked", "It is locked until"}},
		{name: "no-digits", steps: func(p *page, _ *fakeAPI) { p.show(); p.press("Approve") }, see: []string{"Type your PIN: 4 to 12 digits."}},
		{name: "locked", view: object{"pin": object{"state": "locked", "locked_until": "2030-01-01T12:00:00Z", "locked_for": 840}}, see: []string{"Your PIN is locked", "It is locked until", "2030"}},
		{name: "deactivated", view: object{"pin.state": "inactive"}, see: []string{"Your PIN is deactivated", "a link with which you choose a new PIN"}},
		{name: "no-pin", view: object{"pin.state": "not_set"}, see: []string{"You have no PIN yet", "a link with which you choose your PIN"}},
		{name: "known-browser-demanded", view: object{"known_browser": false, "known_browser_required": true, "phrase": nil}, see: []string{"Use a browser that is known"}},
		{name: "last-try-running", view: object{"tries_left": 0}, see: []string{"A PIN is being checked"}},
		{name: "approved", decide: func(object) (int, object) { return http.StatusOK, decision("approved", nil) }, steps: enterPIN, see: []string{"Approved", "may now do this once", "Send 250.00 EUR"}},
		{name: "approved-session", view: object{"status": "approved", "session": object{"skills": nil, "minutes": 15}}, see: []string{"Approved", "for 15 minutes"}},
		{name: "denied", decide: func(object) (int, object) { return http.StatusOK, decision("denied", object{"reason": "person"}) },
			steps: func(p *page, _ *fakeAPI) { p.show(); p.press("Deny") }, see: []string{"Denied", "Nothing was done", "the agent cannot ask you for the same again"}},
		{name: "denied-wrong-pin", decide: func(object) (int, object) {
			return http.StatusOK, decision("denied", object{"reason": "wrong_pin", "error": "invalid_pin", "remaining_tries": 0, "locked_until": "2030-01-01T12:00:00Z"})
		}, steps: enterPIN, see: []string{"Denied after two wrong PINs", "this link is closed", "locked until"}},
		{name: "expired", view: object{"status": "expired"}, see: []string{"The time is over", "Nothing was done"}},
		{name: "pin-changed", view: object{"status": "expired", "reason": "pin_changed"}, see: []string{"changed or locked after you approved"}},
		{name: "used", view: object{"status": "used"}, see: []string{"Already used"}},
		{name: "cancelled", view: object{"status": "cancelled"}, see: []string{"No longer needed"}},
		{name: "unknown", open: http.StatusNotFound, see: []string{"This link is not known"}},
		{name: "overload", decide: fails(http.StatusServiceUnavailable, "overloaded"), steps: enterPIN, see: []string{"The service is busy. Try again in 2 seconds.", "Your PIN is still here"}},
		{name: "too-many-requests", open: http.StatusTooManyRequests, see: []string{"Too many requests came from your network"}},
		{name: "offline", steps: func(p *page, f *fakeAPI) { p.show(); p.type4(); p.offline(true); p.press("Approve") },
			see: []string{"There is no connection", "Your PIN is still here"}},
		{name: "changed", decide: fails(http.StatusConflict, "view_changed"), steps: func(p *page, f *fakeAPI) {
			p.show()
			p.type4()
			f.set(object{"view_hash": "bb", "title": "Send more money"})
			p.press("Approve")
		}, see: []string{"The request has changed. Please read it again.", "Send more money"}},
	} {
		t.Run(state.name, func(t *testing.T) {
			f := newFakeAPI(t)
			f.set(state.view)
			if state.open != 0 {
				f.openStatus = state.open
			}
			f.decide = state.decide
			p := newPage(t)
			p.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
			f.openLink(p)
			if state.steps == nil {
				state.steps = func(p *page, _ *fakeAPI) { p.show() }
			}
			state.steps(p, f)
			for _, text := range state.see {
				p.see(text)
			}
			p.checkLooks("approve-" + state.name)
		})
	}
}

// checkLooks checks the page at three widths, light and dark, and takes a picture of each.
func (p *page) checkLooks(name string) {
	p.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		p.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
			return cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		})
		for _, width := range []int64{320, 390, 1280} {
			where := fmt.Sprintf("%s-%d-%s", name, width, scheme)
			options := []chromedp.EmulateViewportOption{}
			if width < 1000 {
				options = append(options, chromedp.EmulateMobile)
			}
			p.do(chromedp.EmulateViewport(width, 844, options...))
			if wide := value[int64](p, `document.documentElement.scrollWidth`); wide > width {
				p.t.Errorf("%s is %d pixels wide: %s", where, wide, value[string](p, fmt.Sprintf(`Array.from(document.querySelectorAll('body *')).filter((e) => e.getBoundingClientRect().right > %d.5)
					.map((e) => e.tagName + '.' + e.className).join(' ')`, width)))
			}
			for _, small := range value[[]string](p, `Array.from(document.querySelectorAll('.key, .primary, .deny')).filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 56).map((e) => e.outerHTML)`) {
				p.t.Errorf("%s: a key is lower than 56 pixels: %s", where, small)
			}
			if width != 320 { // the layout is the same as at 390 pixels
				p.checkAxe(where)
			}
			p.screenshot(where)
		}
	}
}

// show presses the button that shows what is asked.
func (p *page) show() {
	p.t.Helper()
	p.do(chromedp.Click(`//button[@id="show"]`, chromedp.NodeVisible))
}

// type4 types a PIN of four digits on the keypad.
func (p *page) type4() {
	p.t.Helper()
	for _, digit := range "4826" {
		p.press(string(digit))
	}
}

// outcome waits until the page shows the end with this heading.
func (p *page) outcome(heading string) {
	p.t.Helper()
	p.until("the outcome "+heading, fmt.Sprintf(`main.dataset.section === 'outcome' && document.getElementById('outcome-title').innerText === %s`, quoted(heading)))
}

func enterPIN(p *page, _ *fakeAPI) {
	p.t.Helper()
	p.show()
	p.type4()
	p.press("Approve")
}

// offline cuts the page from the network, or connects it again.
func (p *page) offline(cut bool) {
	p.t.Helper()
	p.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		conditions := &network.Conditions{Offline: cut, DownloadThroughput: -1, UploadThroughput: -1}
		_, err := cdp.Call(ctx, target, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{conditions}})
		return chromedp.Void{}, err
	})
}
