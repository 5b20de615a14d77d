package browser

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestEditPolicy(t *testing.T) {
	instance := create(t, "/v1/instances", map[string]any{"name": "Teller"})
	p := newPage(t)
	p.signIn()
	p.open("#/instances/"+instance, "Teller")
	p.choose("Who must enter a PIN", "Customers only")
	p.choose("Which skills need a PIN", "Every skill, and a person without a PIN is refused (strict)")
	p.fill("Protected skills", "payments.*\ntransfer money\n\n")
	p.fill("Length of a PIN session in minutes", "1441")
	p.press("Save policy")
	p.see("Input should be less than or equal to 1440")
	p.see("Entry 2: String should match pattern")
	p.screenshot("policy-refused")
	p.fill("Protected skills", "payments.*\n transfer \n\n")
	p.fill("Length of a PIN session in minutes", "5")
	p.choose("Who may receive a PIN", "Only a page of Countersign (page)")
	p.click(`//label[normalize-space()='People can approve only in a browser in which they gave their PIN before']`)
	p.click(`//label[normalize-space()='Agents need the current PIN or a live session to change a PIN']`)
	p.click(`//label[normalize-space()='A PIN can be set only after identity verification (KYC)']`)
	p.press("Save policy")
	p.see("The policy is saved.")

	p.do(chromedp.Reload())
	p.heading("Teller")
	p.until("the policy to be shown as it was saved", `JSON.stringify(Array.from(document.querySelectorAll('form :is(input, select, textarea)'),
		(field) => field.type === 'checkbox' ? field.checked : field.value)) === '["customer","strict","payments.*\\ntransfer","5","page",true,true,true]'`)
}

func TestIssueAndRevokeProxyKey(t *testing.T) {
	p := newPage(t)
	p.signIn()
	p.open("#/instances/"+stack.InstanceID, "Demo agent")
	p.press("New proxy key")
	p.fill("Name", "console's")
	p.choose("Expires", "In 30 days")
	p.press("Issue proxy key")
	p.see("It is not shown again.")
	key := value[string](p, `document.querySelector('dialog textarea').value`)
	agent := stack.PinInternalURL + "/internal/v1/instances/" + stack.InstanceID + "/lookup/identity?channel=sms&external_id=nobody"
	if status, _ := request(t, "GET", agent, nil, "Authorization: Bearer "+key); status != http.StatusNotFound {
		t.Errorf("with the new key: %d", status)
	}
	p.press("Copy")
	p.see("Copied.")
	p.screenshot("key")
	p.press("Done")
	p.see("is issued.")
	p.mustNotContain(key)

	p.press("Revoke console's")
	p.press("Revoke")
	p.see("is revoked.")
	p.until("the key to be shown as revoked", `document.querySelector('.badge.bad')?.innerText === 'Revoked'`)
	if status, _ := request(t, "GET", agent, nil, "Authorization: Bearer "+key); status != http.StatusUnauthorized {
		t.Errorf("with the revoked key: %d", status)
	}
}

func TestIssueAndRevokeAPIKey(t *testing.T) {
	p := newPage(t)
	p.signIn()
	p.open("#/api-keys", "API keys")
	p.press("New API key")
	p.fill("Name", "dashboard")
	p.press("Issue API key")
	p.see("It is not shown again.")
	key := value[string](p, `document.querySelector('dialog textarea').value`)
	p.press("Done")
	for _, rule := range []struct {
		method string
		body   any
		want   int
	}{{"GET", nil, http.StatusOK}, {"POST", map[string]any{"name": "x"}, http.StatusForbidden}} { // the key has the scope read
		if status, _ := request(t, rule.method, stack.PinAdminURL+"/v1/instances", rule.body, "X-Api-Key: "+key); status != rule.want {
			t.Errorf("%s with the new key: %d", rule.method, status)
		}
	}
	p.press("Revoke dashboard")
	p.press("Revoke")
	p.see("is revoked.")
	if status, _ := request(t, "GET", stack.PinAdminURL+"/v1/instances", nil, "X-Api-Key: "+key); status != http.StatusUnauthorized {
		t.Errorf("with the revoked key: %d", status)
	}
}

func TestAuditTrail(t *testing.T) {
	customer := create(t, "/v1/customers", map[string]any{"email": "trail@example.net"})
	execute(t, `insert into audit (at, actor_kind, action, customer_id, request_id, address)
		select now() - n * interval '1 minute', 'operator', 'row.' || n, $1, gen_random_uuid()::text, '192.0.2.1' from generate_series(1, 120) n`, customer)
	p := newPage(t)
	p.signIn()
	p.open("#/customers/"+customer, "trail@example.net")
	p.follow("Audit trail of this customer")
	p.until("the customer's trail", `document.querySelector('h1')?.innerText === 'Audit trail' && document.querySelectorAll('.trail > li').length === 50`)
	p.see("customer.created")
	p.screenshot("audit")
	for _, rows := range []string{"100", "121"} {
		p.press("Older")
		p.until(rows+" entries", `document.querySelectorAll('.trail > li').length === `+rows)
	}
	p.until("the last page", `!Array.from(document.querySelectorAll('button')).some((button) => button.innerText === 'Older' && !button.hidden)`)
	if value[int](p, `new Set(Array.from(document.querySelectorAll('.trail .badge'), (badge) => badge.innerText)).size`) != 121 {
		t.Error("an entry is missing or is shown twice")
	}

	p.fill("Action", "row.77")
	p.press("Show")
	p.until("the one entry", `document.querySelectorAll('.trail > li').length === 1`)
	p.fill("Customer id", "nobody")
	p.press("Show")
	p.see("Input should be a valid UUID")
	p.fill("Customer id", "")
	p.fill("Action", "no.such")
	p.press("Show")
	p.see("No entries found.")
}
