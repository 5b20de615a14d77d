package browser

import (
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/pquerna/otp/totp"
)

const topDialog = `Array.from(document.querySelectorAll('dialog[open]')).at(-1)`

// makeStale moves the last proof of all sign-in sessions more than 5 minutes into the past.
func makeStale(t *testing.T) {
	t.Helper()
	execute(t, `update user_sessions set proved_at = now() - interval '301 seconds'`)
}

// newAdmin creates an admin who has no second factor.
func newAdmin(t *testing.T, email, password string) {
	t.Helper()
	if status, answer := request(t, "POST", stack.AuthURL+"/auth/signup", map[string]any{"email": email, "password": password}); status != http.StatusOK {
		t.Fatalf("the signup answered %d %v", status, answer)
	}
	execute(t, `update users set role = 'admin', email_confirmed_at = now() where email = $1`, email)
}

// signInAs opens the console and enters an address and a password.
func (p *page) signInAs(email, password string) {
	p.t.Helper()
	p.do(chromedp.Navigate(stack.PinAdminURL + "/console"))
	p.fill("Email address", email)
	p.fill("Password", password)
	p.key(kb.Enter)
}

// An act that needs a fresh sign-in asks for the password and is repeated. The user stays signed in, and the form keeps its place.
func TestActAsksForThePasswordAndIsRepeated(t *testing.T) {
	const pin = "83917264"
	customer := newCustomer(t, "Maria Goeppert")
	p := newPage(t)
	p.signIn()
	p.open("#/customers/"+customer, "Maria Goeppert")
	makeStale(t)
	p.press("Set PIN")
	p.fill("New PIN", pin)
	p.fill("Repeat the PIN", pin)
	p.press("Set PIN")
	p.see("Confirm that it is you")
	p.until("the password's field to have the focus", `document.activeElement?.autocomplete === 'current-password'`)
	p.screenshot("step-up")
	p.fill("Your password", "not the password")
	p.press("Confirm")
	p.until("a message about the password", `/password/i.test(`+topDialog+`?.querySelector('[role=alert]:not([hidden])')?.innerText)`)
	if value[string](p, topDialog+`.querySelector('input').value`) != "" {
		t.Error("the field still contains the wrong password")
	}
	p.press("Cancel")
	p.see("Nothing was changed")
	if answer := verify(t, customer, pin); answer["error"] != "pin_not_set" {
		t.Errorf("after Cancel the PIN is set: %v", answer)
	}
	p.fill("New PIN", pin)
	p.fill("Repeat the PIN", pin)
	p.press("Set PIN")
	p.fill("Your password", stack.AdminPassword)
	p.key(kb.Enter)
	p.see("The PIN of Maria Goeppert is set.")
	if answer := verify(t, customer, pin); answer["verified"] != true {
		t.Errorf("the PIN does not verify: %v", answer)
	}
	p.heading("Maria Goeppert")
	p.mustNotContain(stack.AdminPassword)

	p.press("Remove") // within 5 minutes of the step-up, nothing is asked
	p.press("Remove PIN")
	p.see("is removed.")

	makeStale(t)
	p.open("#/api-keys", "API keys")
	p.press("New API key")
	p.press("Issue API key")
	p.fill("Your password", stack.AdminPassword)
	p.press("Confirm")
	p.see("It is not shown again.")
	p.press("Done")

	makeStale(t)
	p.open("#/instances/"+stack.InstanceID, "Demo agent")
	p.press("Save policy")
	p.fill("Your password", stack.AdminPassword)
	p.press("Confirm")
	p.see("The policy is saved.")
}

func TestActAsksForACodeOfTheSecondFactor(t *testing.T) {
	const email, password = "step.up@example.com", "a password that is long"
	newAdmin(t, email, password)
	customer := newCustomer(t, "Chien-Shiung Wu")
	p := newPage(t)
	p.signInAs(email, password)
	p.heading("Customers")
	access := func() string {
		_, answer := request(t, "POST", stack.AuthURL+"/auth/login", map[string]any{"email": email, "password": password})
		return "Authorization: Bearer " + answer["session"].(map[string]any)["access_token"].(string)
	}
	_, enrolled := request(t, "POST", stack.AuthURL+"/auth/mfa/totp", nil, access())
	code, err := totp.GenerateCode(enrolled["secret"].(string), time.Now())
	must(t, err)
	_, confirmed := request(t, "POST", stack.AuthURL+"/auth/mfa/totp/confirm", map[string]any{"code": code}, access())
	recovery := confirmed["recovery_codes"].([]any)

	p = newPage(t) // the new second factor ended the sessions
	p.signInAs(email, password)
	p.heading("Second factor")
	p.fill("Code", recovery[0].(string))
	p.key(kb.Enter)
	p.heading("Customers")
	p.open("#/customers/"+customer, "Chien-Shiung Wu")
	makeStale(t)
	p.press("Set PIN")
	p.fill("New PIN", "83917264")
	p.fill("Repeat the PIN", "83917264")
	p.press("Set PIN")
	p.see("Confirm that it is you")
	p.fill("Code", "0000-0000-0000-0000")
	p.press("Confirm")
	p.see("The code is wrong")
	p.fill("Code", recovery[1].(string))
	p.press("Confirm")
	p.see("The PIN of Chien-Shiung Wu is set.")
}
