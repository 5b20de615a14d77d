package api_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

// Every route, whatever is added: a stranger and a mere user get nowhere, and a key for reading changes nothing.
func TestWhoMayCallWhat(t *testing.T) {
	t.Parallel()
	s := newService(t)
	reader := map[string]string{"X-Api-Key": s.people.APIKey("read").Reveal()}
	user, _ := s.signIn("user@example.com", "user")
	signedIn := map[string]string{"Authorization": "Bearer " + user}
	parameter := regexp.MustCompile(`:\w+`)
	forUsers := map[string]int{"GET /v1/me/pin": 200, "PUT /v1/me/pin": 422, "DELETE /v1/me/pin": 422, "GET /v1/instances/:instance_id/pin-policy": 404}
	for _, route := range s.app.Echo.Routes() {
		name := route.Method + " " + route.Path
		if !strings.HasPrefix(route.Path, "/v1/") {
			continue
		}
		path := parameter.ReplaceAllString(route.Path, uuid.NewString())
		ask := func(header map[string]string) int {
			return s.Do(webtest.Request{Method: route.Method, Path: path, Header: header, Body: `{"broken`}).Status
		}
		if got := ask(nil); got != 401 {
			t.Errorf("%s: a stranger is answered %d", name, got)
		}
		want, special := forUsers[name]
		if !special {
			want = 403
		}
		if got := ask(signedIn); got != want {
			t.Errorf("%s: a user is answered %d, want %d", name, got, want)
		}
		got := ask(reader)
		if changes := route.Method != "GET"; changes != (got == 403) && name != "GET /v1/me/pin" {
			t.Errorf("%s: a key for reading is answered %d", name, got)
		}
	}
}

func TestRefusalsAreNotedOnceAMinute(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer := s.people.Customer().String()
	user, claims := s.signIn("user@example.com", "user")
	for range 3 {
		s.Want(s.as(user, "DELETE", "/v1/customers/"+customer, nil), 403)
		s.Want(s.as(user, "GET", "/v1/customers/"+uuid.NewString(), nil), 403)
	}
	s.Want(s.ask("GET", "/v1/me/pin", nil), 403)
	trail := s.Want(s.ask("GET", "/v1/audit?action=access.refused", nil), 200)
	s.Fields(trail, object{
		"items.0.actor.kind": "api_key", "items.0.details.route": "/v1/me/pin", "items.0.details.method": "GET",
		"items.1.actor.kind": "user", "items.1.actor.id": claims.Subject, "items.1.details.route": "/v1/customers/:customer_id", "items.1.details.method": "GET",
		"items.2.details.method": "DELETE", "items.2.customer_id": nil, "items.3": nil})
	s.people.Exec(`update audit set at = at - interval '61 seconds'`)
	s.Want(s.as(user, "DELETE", "/v1/customers/"+customer, nil), 403)
	s.Fields(s.Want(s.ask("GET", "/v1/audit", nil), 200), object{"items.0.details.method": "DELETE", "items.3.details.method": "DELETE", "items.4": nil})
}
