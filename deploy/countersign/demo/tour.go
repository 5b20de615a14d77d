package demo

import (
	"fmt"
	"strings"
	"text/template"
)

// Each line can be pasted into bash or sh. The third line keeps the session token in TOKEN for the lines after it.
var tour = template.Must(template.New("tour").Parse(`
Countersign runs. A verification, to paste line by line:

# A dashboard gives the customer a PIN.
curl -sS -X POST -H 'X-Api-Key: {{.APIKey}}' -H 'Content-Type: application/json' -d '{"pin":"4378"}' '{{.PinAdminURL}}/v1/customers/{{.CustomerID}}/pin'

# Before a skill, the agent asks whether a PIN is needed.
{{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' '{{.Agent}}/pin/check-required?customer_id={{.CustomerID}}&skill=payments.transfer'

# The customer types the PIN. It is right, so the answer has a session token.
ANSWER=$({{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d '{"pin":"4378","customer_id":"{{.CustomerID}}"}' '{{.Agent}}/pin/verify'); echo "$ANSWER"; TOKEN=$(printf %s "$ANSWER" | sed -n 's/.*"session_token": *"\([^"]*\)".*/\1/p')

# With the session token, no PIN is needed.
{{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' -H "X-Pin-Session: $TOKEN" '{{.Agent}}/pin/check-required?customer_id={{.CustomerID}}&skill=payments.transfer'

# A tool server asks whether the session is valid, and ends it.
{{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d "{\"session_token\":\"$TOKEN\"}" '{{.Agent}}/pin/sessions/introspect'
{{.Curl}} -sS -i -X DELETE -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d "{\"session_token\":\"$TOKEN\"}" '{{.Agent}}/pin/sessions'

The console for admins: {{.PinAdminURL}}/console. Sign in as {{.AdminEmail}} with the password {{.AdminPassword}}.
{{.Closing}}
`))

// Tour returns commands to paste, which use the demo data. curl is the command that calls pin-internal from the reader's machine.
// closing is the text after the commands.
func Tour(d Data, curl, closing string) (string, error) {
	var text strings.Builder
	err := tour.Execute(&text, struct {
		Data
		Curl, Closing, Agent string
	}{d, curl, closing, d.PinInternalURL + "/internal/v1/instances/" + d.InstanceID.String()})
	if err != nil {
		return "", fmt.Errorf("writing the tour: %w", err)
	}
	return text.String(), nil
}
