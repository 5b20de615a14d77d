package browser

import (
	"fmt"
	"strings"
	"testing"

	"context"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// unlabelled lists what a screen reader has no name for, and what else is wrong with a page's outline.
const unlabelled = `[
	...Array.from(document.querySelectorAll('input, select, textarea')).filter((field) => field.labels.length === 0 || !field.labels[0].innerText.trim()),
	...Array.from(document.querySelectorAll('button, a, summary')).filter((button) => !button.innerText.trim() && !button.ariaLabel && button.checkVisibility()),
	...Array.from(document.querySelectorAll('section, form')).filter((part) => !part.ariaLabel && !document.getElementById(part.getAttribute('aria-labelledby'))),
	...Array.from(document.querySelectorAll('[aria-describedby]')).filter((field) => field.getAttribute('aria-describedby').split(' ').some((id) => !document.getElementById(id))),
	...Array.from(document.querySelectorAll('[id]')).filter((one) => document.querySelectorAll('#' + one.id).length > 1),
	...(document.querySelectorAll('h1').length === 1 ? [] : Array.from(document.querySelectorAll('h1'))),
	...(document.querySelectorAll('main, [role=main]').length === 1 ? [] : [document.body]),
].map((element) => element.outerHTML.slice(0, 200))`

// Every page and every dialog fits a phone, with names as long as they may be, and has a name for everything.
func TestEveryPageOnAPhone(t *testing.T) {
	long := strings.Repeat("verylongname", 20)
	customer := create(t, "/v1/customers", map[string]any{"email": strings.Repeat("long", 15) + "@example.net", "display_name": long})
	instance := create(t, "/v1/instances", map[string]any{"name": long, "owner_customer_id": customer})
	create(t, "/v1/customers/"+customer+"/identities", map[string]any{"instance_id": instance, "channel": "web_chat", "external_id": long, "role_override": "owner", "verified": true})
	create(t, "/v1/instances/"+instance+"/proxy-keys", map[string]any{"name": long})
	p := newPage(t)
	p.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile))
	p.do(chromedp.Navigate(stack.PinAdminURL + "/console"))
	p.heading("Sign in")
	p.fits("sign in")
	p.signIn()
	for _, at := range []struct {
		hash, heading, text string
		buttons             []string
	}{
		{"#/customers", "Customers", "Demo customer", []string{"New customer"}},
		{"#/customers/" + customer, long, "on " + long, []string{"Set PIN", "New identity"}},
		{"#/instances", "Instances", "Demo agent", []string{"New instance"}},
		{"#/instances/" + instance, long, "Protected skills", []string{"New proxy key", "Find an identity", "Revoke " + long}},
		{"#/api-keys", "API keys", "demo", []string{"New API key"}},
		{"#/audit", "Audit trail", "customer.created", nil},
		{"#/customers/00000000-0000-0000-0000-000000000000", "Not found", "Try again", nil},
	} {
		p.open(at.hash, at.heading)
		p.see(at.text)
		p.fits(at.hash)
		p.shot("phone-" + strings.NewReplacer("#/", "", "/", "-").Replace(at.hash[:min(len(at.hash), 14)]))
		for _, button := range at.buttons {
			p.press(button)
			p.until("a dialog", `document.querySelector('dialog[open]')`)
			p.fits(at.hash + ", " + button)
			p.shot("phone-" + button[:min(len(button), 12)])
			p.press("Cancel")
			p.until("no dialog", `!document.querySelector('dialog')`)
		}
	}
}

func (p *page) fits(where string) {
	p.t.Helper()
	if wide := value[int](p, `document.documentElement.scrollWidth`); wide > 360 {
		p.t.Errorf("%s is %d wide: %s", where, wide, value[string](p, `Array.from(document.querySelectorAll('body *')).filter((e) => e.getBoundingClientRect().right > 360.5)
			.map((e) => e.tagName + '.' + e.className).join(' ')`))
	}
	for _, element := range value[[]string](p, unlabelled) {
		p.t.Errorf("%s: without a name, or wrong in the outline: %s", where, element)
	}
}

// The documentation of each service is readable without anything from elsewhere.
func TestTheDocumentation(t *testing.T) {
	for name, url := range map[string]string{"auth": stack.AuthURL, "pin-admin": stack.PinAdminURL, "pin-internal": stack.PinInternalURL} {
		t.Run(name, func(t *testing.T) {
			p := newPage(t)
			p.do(chromedp.Navigate(url + "/docs"))
			p.heading("Countersign " + name)
			p.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('details').forEach((details) => { details.open = true; })`))
			if n := value[int](p, `Array.from(document.querySelectorAll('details')).filter((d) => d.querySelector('summary').innerText.trim() && d.querySelector('ul li')).length`); n < 5 {
				t.Errorf("%d operations are described", n)
			}
			p.shot("docs-" + name)
			p.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile))
			p.shot("docs-phone-" + name)
			if wide := value[int](p, `document.documentElement.scrollWidth`); wide > 360 {
				t.Errorf("it is %d wide on a phone", wide)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if asked := fmt.Sprint(p.asked); asked != fmt.Sprintf("[GET %s/docs]", url) {
				t.Errorf("it asked for %s", asked)
			}
		})
	}
}

// In the dark, the console is dark.
func TestInTheDark(t *testing.T) {
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
	p.shot("dark")
	if ground := value[string](p, `getComputedStyle(document.body).backgroundColor`); ground != "rgb(18, 23, 21)" {
		t.Errorf("the ground is %s", ground)
	}
}
