package demo

import (
	"fmt"
	"strings"
	"text/template"
)

// Each line can be pasted into bash or sh, in this order: later lines use TOKEN, ID and LINK of earlier lines.
var tour = template.Must(template.New("tour").Parse(`
Countersign runs. A tour, to paste line by line:

# A dashboard gives the customer a PIN.
curl -sS -X POST -H 'X-Api-Key: {{.APIKey}}' -H 'Content-Type: application/json' -d '{"pin":"4378"}' '{{.PinAdminURL}}/v1/customers/{{.CustomerID}}/pin'

# The skill accounts.statement needs a PIN session. Before the skill, the agent asks.
{{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' '{{.Agent}}/pin/check-required?customer_id={{.CustomerID}}&skill=accounts.statement'

# The customer types the PIN into the chat. It is right, so the answer has a session token. With the token, no PIN is needed.
ANSWER=$({{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d '{"pin":"4378","customer_id":"{{.CustomerID}}"}' '{{.Agent}}/pin/verify'); printf '%s\n' "$ANSWER"; TOKEN=$(printf %s "$ANSWER" | sed -n 's/.*"session_token": *"\([^"]*\)".*/\1/p')
{{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' -H "X-Pin-Session: $TOKEN" '{{.Agent}}/pin/check-required?customer_id={{.CustomerID}}&skill=accounts.statement'

# The skill payments.transfer needs an approval of each payment. The agent asks, and gets a link for the customer.
ANSWER=$({{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d '{"customer_id":"{{.CustomerID}}","skill":"payments.transfer","arguments":{"amount":"25.00","currency":"EUR","to":{"name":"Ada Lovelace","iban":"DE89370400440532013000"}}}' '{{.Agent}}/approvals'); printf '%s\n' "$ANSWER"; ID=$(printf %s "$ANSWER" | sed -n 's/.*"id": *"\([^"]*\)".*/\1/p'); LINK=$(printf %s "$ANSWER" | sed -n 's/.*"url": *"\([^"]*\)".*/\1/p')

# The customer opens the link in a browser and types the PIN there. This line does the same without a browser.
echo 4378 | {{.Approve}} "$LINK"

# The agent uses the approval, once, and gets a receipt for the server that pays. A second use is refused.
{{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d "{\"use_id\":\"$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')\"}" "{{.Agent}}/approvals/$ID/use"
{{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d "{\"use_id\":\"$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')\"}" "{{.Agent}}/approvals/$ID/use"

The console for admins: {{.PinAdminURL}}/console. Sign in as {{.AdminEmail}} with the password {{.AdminPassword}}.
{{.Closing}}
`))

// Commands are the commands of the tour that depend on how the stack runs.
type Commands struct {
	// Curl calls pin-internal from the reader's machine.
	Curl string
	// Approve is `countersign approve`. It reads the PIN from standard input.
	Approve string
}

// Tour returns commands to paste, which use the demo data. closing is the text after the commands.
func Tour(d Data, commands Commands, closing string) (string, error) {
	var text strings.Builder
	err := tour.Execute(&text, struct {
		Data
		Commands
		Closing, Agent string
	}{d, commands, closing, d.PinInternalURL + "/internal/v1/instances/" + d.InstanceID.String()})
	if err != nil {
		return "", fmt.Errorf("writing the tour: %w", err)
	}
	return text.String(), nil
}
