package main

import (
	"strings"
	"text/template"
)

// Each line works as pasted, in bash and in sh; the third keeps the session in TOKEN for those after it.
var tourTemplate = template.Must(template.New("tour").Parse(`
Countersign runs. A verification, to paste line by line:

# A dashboard gives the customer a PIN.
curl -sS -X POST -H 'X-Api-Key: {{.APIKey}}' -H 'Content-Type: application/json' -d '{"pin":"4378"}' '{{.PinAdminURL}}/v1/customers/{{.CustomerID}}/pin'

# Before a protected skill, the agent asks whether a PIN is needed.
{{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' '{{.Agent}}/pin/check-required?customer_id={{.CustomerID}}'

# The customer types it: right, and remembered as a session.
ANSWER=$({{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d '{"pin":"4378","customer_id":"{{.CustomerID}}"}' '{{.Agent}}/pin/verify'); echo "$ANSWER"; TOKEN=$(printf %s "$ANSWER" | sed -n 's/.*"session_token": *"\([^"]*\)".*/\1/p')

# With the session, none is needed again.
{{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' -H "X-Pin-Session: $TOKEN" '{{.Agent}}/pin/check-required?customer_id={{.CustomerID}}'

# A tool server asks about the session, and ends it.
{{.Curl}} -sS -X POST -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d "{\"session_token\":\"$TOKEN\"}" '{{.Agent}}/pin/sessions/introspect'
{{.Curl}} -sS -i -X DELETE -H 'Authorization: Bearer {{.ProxyKey}}' -H 'Content-Type: application/json' -d "{\"session_token\":\"$TOKEN\"}" '{{.Agent}}/pin/sessions'

For people there is a console: {{.PinAdminURL}}/console, as {{.AdminEmail}} with the password {{.AdminPassword}}.
{{.Closing}}
`))

// place is what differs between a stack of processes and one of containers.
type place struct {
	// Curl is how to ask pin-internal from this machine.
	Curl string
	// Closing is what else there is to know.
	Closing string
}

func tour(d demo, at place) (string, error) {
	var text strings.Builder
	err := tourTemplate.Execute(&text, struct {
		demo
		place
		Agent string
	}{d, at, d.PinInternalURL + "/internal/v1/instances/" + d.InstanceID.String()})
	return text.String(), err
}
