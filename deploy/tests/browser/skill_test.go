package browser

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// registerSkill registers a skill of an instance.
func registerSkill(t *testing.T, instance, name string, skill map[string]any) {
	t.Helper()
	path := stack.PinAdminURL + "/v1/instances/" + instance + "/skills/" + url.PathEscape(name)
	if status, answer := request(t, "PUT", path, skill, "X-Api-Key: "+stack.APIKey); status != http.StatusCreated {
		t.Fatalf("registering %s: %d %v", name, status, answer)
	}
}

// ask asks for an approval as the agent of an instance. The customer gets a PIN first. It returns the approval's id.
func ask(t *testing.T, instance, customer, skill string, arguments map[string]any) string {
	t.Helper()
	status, answer := request(t, "POST", stack.PinAdminURL+"/v1/customers/"+customer+"/pin", map[string]any{"pin": "83917264"}, "X-Api-Key: "+stack.APIKey)
	if status != http.StatusOK {
		t.Fatalf("setting a PIN: %d %v", status, answer)
	}
	_, key := request(t, "POST", stack.PinAdminURL+"/v1/instances/"+instance+"/proxy-keys", map[string]any{"name": "runtime"}, "X-Api-Key: "+stack.APIKey)
	status, answer = request(t, "POST", stack.PinInternalURL+"/internal/v1/instances/"+instance+"/approvals",
		map[string]any{"customer_id": customer, "skill": skill, "arguments": arguments, "note": "please hurry <b>now</b>"}, "Authorization: Bearer "+key["key"].(string))
	if status != http.StatusCreated {
		t.Fatalf("asking: %d %v", status, answer)
	}
	return answer["id"].(string)
}

// preview is JavaScript: the text of the preview in the skill editor.
const preview = `document.querySelector('.preview .body').innerText`

func TestSkillEditorWithLivePreview(t *testing.T) {
	instance := create(t, "/v1/instances", map[string]any{"name": "Skilled"})
	p := newPage(t)
	p.signIn()
	p.open("#/instances/"+instance, "Skilled")
	p.see("No skill is registered.")
	p.press("New skill")
	p.fill("Name", "payments.transfer")
	p.fill("Title", "Send money")
	p.fill("Summary", "Send {amount} to {to.name}")
	p.fill("Example arguments", `{"amount": 9007199254740991, "to": {"name": "<b>Ada</b>\u202e"}, "reference": "x"}`)
	p.until("the preview", preview+`.includes('Send 9007199254740991 to <b>Ada</b>⟨U+202E⟩')`)
	p.until("every argument", preview+`.includes('reference')`)
	p.until("the warning about hidden characters", preview+`.includes('hidden characters')`)
	if value[int](p, `document.querySelectorAll('.preview b').length`) > 0 {
		t.Error("markup in an example became an element")
	}
	p.screenshot("skill-editor")

	// Errors are shown at their fields, while the user types.
	atField := func(label, text string) {
		t.Helper()
		p.until("an error at "+label, `Array.from(document.querySelectorAll('dialog .field')).some((field) =>
			field.querySelector('label').innerText === `+quoted(label)+` && field.querySelector('.error:not([hidden])')?.innerText.includes(`+quoted(text)+`)
			&& field.querySelector('[aria-invalid=true]'))`)
	}
	p.fill("Summary", "Send {amount")
	atField("Summary", "")
	p.screenshot("skill-refused")
	p.fill("Summary", "Send {amount} to {nobody}")
	p.until("the missing value", preview+`.includes('no value for {nobody}')`)
	p.fill("JSON Schema of the arguments", `{"type": "object"`)
	atField("JSON Schema of the arguments", "not valid JSON")
	p.fill("JSON Schema of the arguments", `{"type": "number"}`)
	p.fill("JSON Schema of the arguments", `{"required": ["to"], "properties": {"amount": {"type": "string"}}}`)
	atField("Example arguments", "amount")
	p.fill("Example arguments", `{"amount": 9007199254740993}`) // a number that programs round
	atField("Example arguments", "")
	p.fill("Example arguments", `{"amount": "1", "to": 2}`)
	p.until("no error", `!document.querySelector('dialog [aria-invalid]')`)
	p.press("Save skill")
	p.see("The skill payments.transfer is saved.")

	p.press("New skill")
	p.press("Save skill")
	p.see("A name is needed.")
	p.fill("Name", "PAYMENTS.transfer")
	p.press("Save skill")
	p.see("registered already")
	p.press("Cancel")

	p.press("Edit payments.transfer")
	p.choose("What the skill needs", "A PIN session (session)")
	p.fill("Audience", "bank")
	p.press("Save skill")
	p.until("the changed mode", `document.querySelector('.rows .badge')?.innerText === 'session'`)
	_, stored := request(t, "GET", stack.PinAdminURL+"/v1/instances/"+instance+"/skills/payments.transfer", nil, "X-Api-Key: "+stack.APIKey)
	if stored["mode"] != "session" || stored["audience"] != "bank" || stored["title"] != "Send money" || stored["arguments"] == nil {
		t.Errorf("stored: %v", stored)
	}
	p.screenshot("skills")
	p.press("Remove payments.transfer")
	p.press("Remove")
	p.see("The skill payments.transfer is removed.")
	p.see("No skill is registered.")
}

func TestApprovalsPageFiltersAndShowsArgumentsAsText(t *testing.T) {
	const markup = `<img src=x onerror="document.title='broken'">`
	customer := newCustomer(t, "Hedy "+markup)
	instance := create(t, "/v1/instances", map[string]any{"name": "Payer " + markup, "enforcement": "strict"})
	create(t, "/v1/customers/"+customer+"/identities", map[string]any{"instance_id": instance, "channel": "sms", "external_id": "hedy"})
	registerSkill(t, instance, "pay", map[string]any{"mode": "approval", "summary": "Pay {to}"})
	pending := ask(t, instance, customer, "pay", map[string]any{"to": markup + "\u202e", "n": 1})
	denied := ask(t, instance, customer, "pay", map[string]any{"to": "Bob"})
	execute(t, `update approvals set status = 'denied', reason = 'person', decided_at = now() where id = $1`, denied)

	p := newPage(t)
	p.signIn()
	p.open("#/instances/"+instance, "Payer "+markup)
	p.follow("Approvals of this instance")
	p.heading("Approvals")
	p.until("both approvals", `document.querySelectorAll('.rows > li').length === 2`)
	p.see("Pay Bob")
	p.see("Pay " + markup + "⟨U+202E⟩")
	p.screenshot("approvals")
	p.choose("Status", "Denied")
	p.press("Show")
	p.until("the denied approval", `document.querySelectorAll('.rows > li').length === 1 && document.querySelector('.rows').innerText.includes('Pay Bob')`)
	p.fill("Skill", "other")
	p.press("Show")
	p.see("No approvals found.")
	p.fill("Customer id", "nobody")
	p.press("Show")
	p.see("Input should be a valid UUID")

	p.open("#/approvals/"+pending, "Pay "+markup+"⟨U+202E⟩")
	p.see("please hurry <b>now</b>")
	p.see("runtime")
	p.until("the arguments", `document.querySelector('pre').innerText.includes('⟨U+202E⟩') && document.querySelector('pre').innerText.includes('"n": 1')`)
	if value[int](p, `document.querySelectorAll('main img, main b').length`) > 0 {
		t.Error("markup became an element")
	}
	p.screenshot("approval")
	p.open("#/approvals/"+denied, "Pay Bob")
	p.see("the person said no")
	p.open("#/approvals/"+ask(t, instance, customer, "plain", nil), "plain") // the summary of a skill that is not registered is its name
	p.see("a PIN session")
	p.open("#/customers/"+customer, "Hedy "+markup)
	p.follow("Approvals of this customer")
	p.until("all approvals", `document.querySelectorAll('.rows > li').length === 3`)
}

func TestEnrolmentLinkAndPhrase(t *testing.T) {
	const phrase = "blue otter"
	customer := newCustomer(t, "Lise Meitner")
	p := newPage(t)
	p.signIn()
	p.open("#/customers/"+customer, "Lise Meitner")
	makeStale(t)
	p.press("New enrolment link")
	p.see("whoever opens it first chooses the PIN")
	p.press("Make the link")
	p.see("Confirm that it is you")
	p.fill("Your password", stack.AdminPassword)
	p.press("Confirm")
	p.see("It works once, for 24 hours.")
	link := value[string](p, `document.querySelector('dialog textarea').value`)
	if !strings.HasPrefix(link, stack.PinAdminURL+"/enrol#cen_") {
		t.Errorf("the link is %q", link)
	}
	p.screenshot("enrolment-link")
	p.press("Copy")
	p.see("Copied.")
	p.press("Done")
	p.see("The enrolment link of Lise Meitner is made.")
	p.mustNotContain(strings.TrimPrefix(link, stack.PinAdminURL+"/enrol#"))

	p.press("Set phrase")
	p.press("Set phrase")
	p.see("String should have at least 1 character")
	p.fill("New phrase", phrase)
	p.press("Set phrase")
	p.see("The phrase of Lise Meitner is set.")
	p.mustNotContain(phrase)
	p.press("Remove phrase")
	p.press("Remove phrase")
	p.see("The phrase of Lise Meitner is removed.")
	p.do(chromedp.Reload())
	p.heading("Lise Meitner")
}
