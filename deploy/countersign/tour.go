package main

import (
	"strings"
	"text/template"
)

// Each line works as pasted, in bash and in sh; the third keeps the session in TOKEN for those after it.
var tourTemplate = template.Must(template.New("tour").Parse(`
Countersign runs. A verification, to paste line by line:

# A dashboard gives the customer a PIN.
curl -sS -X POST '{{.PinAdminURL}}/v1/customers/{{.CustomerID}}/pin' -H 'X-Api-Key: {{.APIKey}}' -H 'Content-Type: application/json' -d '{"pin":"4378"}'

# Before a protected skill, the agent asks whether a PIN is needed.
curl -sS -X POST '{{.Agent}}/pin/check-required?customer_id={{.CustomerID}}' -H 'Authorization: Bearer {{.ProxyKey}}'

# The customer types it: right, and remembered as a session.
ANSWER=$(curl -sS -X POST '{{.Agent}}/pin/verify' -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d '{"pin":"4378","customer_id":"{{.CustomerID}}"}'); echo "$ANSWER"; TOKEN=$(printf %s "$ANSWER" | sed -n 's/.*"session_token": *"\([^"]*\)".*/\1/p')

# With the session, none is needed again.
curl -sS -X POST '{{.Agent}}/pin/check-required?customer_id={{.CustomerID}}' -H 'Authorization: Bearer {{.ProxyKey}}' -H "X-Pin-Session: $TOKEN"

# A tool server asks about the session, and ends it.
curl -sS -X POST '{{.Agent}}/pin/sessions/introspect' -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d "{\"session_token\":\"$TOKEN\"}"
curl -sS -X DELETE '{{.Agent}}/pin/sessions' -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d "{\"session_token\":\"$TOKEN\"}" -w '%{http_code}\n'

The APIs explain themselves at {{.AuthURL}}/docs, {{.PinAdminURL}}/docs and {{.PinInternalURL}}/docs.
Every key, password and address of the demo: {{.File}}
Ctrl-C stops everything; the data stays.
`))

func tour(d demo, file string) (string, error) {
	var text strings.Builder
	err := tourTemplate.Execute(&text, struct {
		demo
		Agent, File string
	}{d, d.PinInternalURL + "/internal/v1/instances/" + d.InstanceID.String(), file})
	return text.String(), err
}
