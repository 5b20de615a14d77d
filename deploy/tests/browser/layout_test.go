package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// unlabelled is JavaScript that returns the elements without a name for screen readers, and the errors in the page's outline.
const unlabelled = `[
	...Array.from(document.querySelectorAll('input, select, textarea')).filter((field) => field.labels.length === 0 || !field.labels[0].innerText.trim()),
	...Array.from(document.querySelectorAll('button, a, summary')).filter((button) => !button.innerText.trim() && !button.ariaLabel && button.checkVisibility()),
	...Array.from(document.querySelectorAll('section, form')).filter((part) => !part.ariaLabel && !document.getElementById(part.getAttribute('aria-labelledby'))),
	...Array.from(document.querySelectorAll('[aria-describedby]')).filter((field) => field.getAttribute('aria-describedby').split(' ').some((id) => !document.getElementById(id))),
	...Array.from(document.querySelectorAll('[id]')).filter((element) => document.querySelectorAll('#' + element.id).length > 1),
	...(document.querySelectorAll('h1').length === 1 ? [] : Array.from(document.querySelectorAll('h1'))),
	...(document.querySelectorAll('main, [role=main]').length === 1 ? [] : [document.body]),
].map((element) => element.outerHTML.slice(0, 200))`

// Every page and every dialog fits the width of a phone, also with the longest names. Every element has a name for screen readers.
func TestLayoutOnAPhone(t *testing.T) {
	long := strings.Repeat("verylongname", 20)
	customer := create(t, "/v1/customers", map[string]any{"email": strings.Repeat("long", 15) + "@example.net", "display_name": long})
	instance := create(t, "/v1/instances", map[string]any{"name": long, "owner_customer_id": customer})
	create(t, "/v1/customers/"+customer+"/identities", map[string]any{"instance_id": instance, "channel": "web_chat", "external_id": long, "role_override": "owner", "verified": true})
	create(t, "/v1/instances/"+instance+"/proxy-keys", map[string]any{"name": long})
	registerSkill(t, instance, "long."+long, map[string]any{"mode": "approval", "title": long[:100], "summary": "Pay {to}"})
	approval := ask(t, instance, customer, "long."+long, map[string]any{"to": long, long: long})
	p := newPage(t)
	p.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile))
	p.do(chromedp.Navigate(stack.PinAdminURL + "/console"))
	p.heading("Sign in")
	p.checkLayout("sign in")
	p.signIn()
	for _, at := range []struct {
		hash, heading, text string
		buttons             []string
	}{
		{"#/customers", "Customers", "Demo customer", []string{"New customer"}},
		{"#/customers/" + customer, long, "on " + long, []string{"Set PIN", "New identity", "New enrolment link", "Set phrase"}},
		{"#/instances", "Instances", "Demo agent", []string{"New instance"}},
		{"#/instances/" + instance, long, "Protected skills", []string{"New skill", "New proxy key", "Find an identity", "Revoke " + long}},
		{"#/approvals", "Approvals", "Status", nil},
		{"#/approvals/" + approval, "Pay " + long[:200] + "…", "The agent says", nil},
		{"#/api-keys", "API keys", "demo", []string{"New API key"}},
		{"#/audit", "Audit trail", "customer.created", nil},
		{"#/customers/00000000-0000-0000-0000-000000000000", "Not found", "Try again", nil},
	} {
		p.open(at.hash, at.heading)
		p.see(at.text)
		p.checkLayout(at.hash)
		p.screenshot("phone-" + strings.NewReplacer("#/", "", "/", "-").Replace(at.hash[:min(len(at.hash), 14)]))
		for _, button := range at.buttons {
			p.press(button)
			p.until("a dialog", `document.querySelector('dialog[open]')`)
			p.checkLayout(at.hash + ", " + button)
			p.screenshot("phone-" + button[:min(len(button), 12)])
			p.press("Cancel")
			p.until("no dialog", `!document.querySelector('dialog')`)
		}
	}
}

// checkLayout fails the test if the page is wider than a phone, or has an unlabelled element.
func (p *page) checkLayout(where string) {
	p.t.Helper()
	if wide := value[int](p, `document.documentElement.scrollWidth`); wide > 360 {
		p.t.Errorf("%s is %d pixels wide: %s", where, wide, value[string](p, `Array.from(document.querySelectorAll('body *')).filter((e) => e.getBoundingClientRect().right > 360.5)
			.map((e) => e.tagName + '.' + e.className).join(' ')`))
	}
	for _, element := range value[[]string](p, unlabelled) {
		p.t.Errorf("%s: no name, or an error in the outline: %s", where, element)
	}
}

// The documentation page of each service loads nothing from another server.
func TestDocsPage(t *testing.T) {
	for name, url := range map[string]string{"auth": stack.AuthURL, "pin-admin": stack.PinAdminURL, "pin-internal": stack.PinInternalURL} {
		t.Run(name, func(t *testing.T) {
			p := newPage(t)
			p.do(chromedp.Navigate(url + "/docs"))
			p.heading("Countersign " + name)
			p.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('details').forEach((details) => { details.open = true; })`))
			if n := value[int](p, `Array.from(document.querySelectorAll('details')).filter((d) => d.querySelector('summary').innerText.trim() && d.querySelector('ul li')).length`); n < 5 {
				t.Errorf("%d operations are described, want at least 5", n)
			}
			p.screenshot("docs-" + name)
			p.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile))
			p.screenshot("docs-phone-" + name)
			if wide := value[int](p, `document.documentElement.scrollWidth`); wide > 360 {
				t.Errorf("the page is %d pixels wide on a phone", wide)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if sent := fmt.Sprint(p.requests); sent != fmt.Sprintf("[GET %s/docs]", url) {
				t.Errorf("the page sent the requests %s", sent)
			}
		})
	}
}

// If the browser prefers a dark color scheme, the console is dark.
func TestDarkMode(t *testing.T) {
	p := newPage(t)
	p.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		return cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	})
	p.signIn()
	p.see("Demo customer")
	p.follow("Demo customer")
	p.heading("Demo customer")
	p.see("Telegram")
	p.screenshot("dark")
	if background := value[string](p, `getComputedStyle(document.body).backgroundColor`); background != "rgb(18, 23, 21)" {
		t.Errorf("the background is %s", background)
	}
}
