package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// newCustomer creates a customer with this name and an identity at the demo's instance. It returns the customer's id.
func newCustomer(t *testing.T, name string) string {
	t.Helper()
	word := strings.ToLower(strings.Fields(name)[0])
	id := create(t, "/v1/customers", map[string]any{"email": word + "@example.net", "display_name": name})
	create(t, "/v1/customers/"+id+"/identities", map[string]any{"instance_id": stack.InstanceID, "channel": "telegram", "external_id": word, "verified": true})
	return id
}

func TestSetUnlockAndRemovePIN(t *testing.T) {
	const pin = "83917264"
	customer := newCustomer(t, "Rosalind Franklin")
	newCustomer(t, "Dorothy Hodgkin")
	p := newPage(t)
	p.signIn()

	p.see("Dorothy Hodgkin")
	p.fill("Search by email address or name", "rosalind")
	p.waitUntilHidden("Dorothy Hodgkin")
	p.see("1 found")
	p.follow("Rosalind Franklin")
	p.heading("Rosalind Franklin")
	p.see("Strict instances refuse this customer.")
	p.see("If the customer has a PIN, it applies.")
	p.screenshot("customer-without-pin")

	p.press("Set PIN")
	p.fill("New PIN", pin)
	p.fill("Repeat the PIN", pin+"1")
	p.press("Set PIN")
	p.see("The two PINs are different.")
	p.fill("New PIN", "1234")
	p.fill("Repeat the PIN", "1234")
	p.press("Set PIN")
	p.see("too easy to guess")
	p.screenshot("weak-pin")
	if left := value[string](p, `Array.from(document.querySelectorAll('dialog input'), (input) => input.value).join('')`); left != "" {
		t.Error("the fields still contain the refused PIN")
	}
	p.fill("New PIN", pin)
	p.fill("Repeat the PIN", pin)
	p.press("Set PIN")
	p.see("The PIN of Rosalind Franklin is set.")
	p.until("the PIN to be set, and the focus to be on its buttons",
		`document.querySelector('.pin').innerText.includes('PIN set') && document.activeElement?.closest('.pin')`)

	if answer := verify(t, customer, pin); answer["verified"] != true {
		t.Fatalf("the PIN does not verify: %v", answer)
	}
	p.do(chromedp.Reload())
	p.see("no identity")
	p.screenshot("session")
	p.press("End all sessions")
	p.see("Agents then ask for the PIN before the next protected skill.")
	p.press("End all")
	p.see("There are no live PIN sessions.")

	execute(t, `update pin_holders set locked_until = now() + interval '1 hour', locks = 1 where holder_id = $1`, customer)
	p.do(chromedp.Reload())
	p.see("Locked")
	p.screenshot("locked")
	p.press("Unlock")
	p.press("Unlock")
	p.see("Rosalind Franklin is unlocked.")
	p.until("the lock to end", `!document.querySelector('.pin').innerText.includes('Locked')`)

	execute(t, `update pin_holders set deactivated_by = charged where holder_id = $1`, customer)
	p.do(chromedp.Reload())
	p.see("Deactivated after too many failures.")

	p.press("Remove")
	p.press("Cancel")
	p.press("Remove")
	p.press("Remove PIN")
	p.see("Strict instances refuse this customer.")

	// The identity can have its own PIN.
	p.click(`//*[@role='group'][@aria-label='PIN of rosalind on Telegram']//button[normalize-space()='Set PIN']`)
	p.fill("New PIN", pin)
	p.fill("Repeat the PIN", pin)
	p.press("Set PIN")
	p.see("The PIN of rosalind on Telegram is set.")
	p.mustNotContain(pin)
}

// mustNotContain fails the test if the page or its storage contains a secret, or if the secret was in a URL.
func (p *page) mustNotContain(secret string) {
	p.t.Helper()
	content := value[string](p, `document.documentElement.outerHTML + location.href + JSON.stringify(sessionStorage) + JSON.stringify(localStorage) +
		Array.from(document.querySelectorAll('input, textarea'), (field) => field.value).join(' ')`)
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.Contains(content+strings.Join(p.requests, " "), secret) {
		p.t.Error("the page, its storage or a URL contains a secret")
	}
}

func TestCreateCustomerInstanceAndIdentity(t *testing.T) {
	p := newPage(t)
	p.signIn()
	p.press("New customer")
	p.fill("Email address", "not an address")
	p.press("Add customer")
	p.see("value is not a valid email address")
	p.screenshot("refused")
	p.fill("Email address", "ada@example.net")
	p.fill("Name", "Ada Lovelace")
	p.press("Add customer")
	p.heading("Ada Lovelace")

	p.open("#/customers", "Customers")
	p.press("New customer")
	p.fill("Email address", "ADA@example.net")
	p.press("Add customer")
	p.until("the message about the conflict", `document.querySelector('dialog [role=alert]:not([hidden])')?.innerText.length > 0`)
	p.press("Cancel")

	p.open("#/instances", "Instances")
	p.press("New instance")
	p.fill("Name", "Analytical engine")
	p.fill("Email address of the owner", "babbage@example.net")
	p.press("Add instance")
	p.see("No customer has this email address.")
	p.fill("Email address of the owner", "ada@example.net")
	p.press("Add instance")
	p.heading("Analytical engine")
	p.until("a strict policy", `Array.from(document.querySelectorAll('form select'), (field) => field.value).includes('strict')`)
	p.follow("Ada Lovelace")
	p.heading("Ada Lovelace")

	p.press("New identity")
	p.choose("Instance", "Analytical engine")
	p.choose("Channel", "WhatsApp")
	p.press("Add identity")
	p.see("String should have at least 1 character")
	p.fill("External id", "+44 1815 1210")
	p.press("Add identity")
	p.see("Identity added: +44 1815 1210")
	p.follow("Analytical engine")
	p.heading("Analytical engine")
	p.press("Find an identity")
	p.choose("Channel", "WhatsApp")
	p.fill("External id", "nobody's")
	p.press("Find")
	p.see("This instance has no such identity.")
	p.fill("External id", "+44 1815 1210")
	p.press("Find")
	p.heading("Ada Lovelace")
}

// The console shows a name that contains markup as text.
func TestMarkupInNamesIsText(t *testing.T) {
	const markup = `<img src=x onerror="document.title='broken'"><b>bold</b>`
	customer := newCustomer(t, "Mallory "+markup)
	instance := create(t, "/v1/instances", map[string]any{"name": "i " + markup, "owner_customer_id": customer})
	create(t, "/v1/customers/"+customer+"/identities", map[string]any{"instance_id": instance, "channel": "sms", "external_id": "e " + markup, "display_name": "d " + markup})
	create(t, "/v1/instances/"+instance+"/proxy-keys", map[string]any{"name": "k " + markup})
	p := newPage(t)
	p.signIn()
	for _, at := range []struct{ hash, heading, text string }{
		{"#/customers", "Customers", "Mallory " + markup},
		{"#/customers/" + customer, "Mallory " + markup, "d " + markup},
		{"#/customers/" + customer, "Mallory " + markup, "on i " + markup},
		{"#/instances", "Instances", "i " + markup},
		{"#/instances/" + instance, "i " + markup, "k " + markup},
	} {
		p.open(at.hash, at.heading)
		p.see(at.text)
		if value[int](p, `document.querySelectorAll('img, b').length`) > 0 {
			t.Errorf("%s: markup became elements", at.hash)
		}
	}
	p.open("#/audit?instance_id="+instance, "Audit trail")
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('details').forEach((details) => { details.open = true; })`))
	p.see(markup)
	if value[int](p, `document.querySelectorAll('img, b').length`) > 0 {
		t.Error("the audit trail: markup became elements")
	}
}
