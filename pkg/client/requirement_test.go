package client_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
)

func connect(t *testing.T) (*clienttest.Countersign, *client.Client) {
	t.Helper()
	d := clienttest.New(t)
	c, err := client.New(client.Config{URL: d.URL, Instance: clienttest.Instance, ProxyKey: client.NewSecret(clienttest.ProxyKey)})
	if err != nil {
		t.Fatal(err)
	}
	return d, c
}

var person = client.Person{Customer: clienttest.Customer, Identity: "identity-1"}

func TestCheckRequired(t *testing.T) {
	t.Parallel()
	d, c := connect(t)
	d.Mode("approval", "transfer")
	d.Mode("session", "statement")
	for skill, want := range map[string]client.Requirement{
		"read":      {Reason: client.ReasonSkillNotProtected},
		"Transfer":  {Required: true, Reason: client.ReasonApprovalNeeded},
		"statement": {Required: true, Reason: client.ReasonPINNeeded},
	} {
		if got, err := c.CheckRequired(t.Context(), person, skill, client.Secret{}); err != nil || got != want {
			t.Errorf("%s: %+v, %v", skill, got, err)
		}
	}
	d.Answer("approved")
	confirmed, err := c.Confirm(t.Context(), client.Action{
		Customer: person.Customer, Identity: person.Identity, Skill: "statement", Show: func(context.Context, client.Approval) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.CheckRequired(t.Context(), person, "statement", confirmed.Session)
	if err != nil || got.Required || got.Reason != client.ReasonSessionActive {
		t.Errorf("with the session: %+v, %v", got, err)
	}
}

func TestValuesOfQueriesAreEscaped(t *testing.T) {
	t.Parallel()
	d, c := connect(t)
	const odd = "a&skill=open#/../ü%20+\x00"
	var got []string
	d.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		q := r.URL.Query()
		got = append(q["skill"], q["customer_id"]...)
		got = append(append(append(got, q["identity_id"]...), q["channel"]...), q["external_id"]...)
		return false
	})
	if _, err := c.CheckRequired(t.Context(), client.Person{Customer: odd, Identity: odd}, odd, client.Secret{}); err != nil || strings.Join(got, "|") != odd+"|"+odd+"|"+odd {
		t.Errorf("%q, %v", got, err)
	}
	d.Account(odd, odd, "identity-1", "customer-1")
	if who, err := c.Lookup(t.Context(), odd, odd); err != nil || who != (client.Person{Customer: "customer-1", Identity: "identity-1"}) || strings.Join(got, "|") != odd+"|"+odd {
		t.Errorf("%+v, %q, %v", who, got, err)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	d, c := connect(t)
	d.Account("telegram", "4711", "identity-1", "customer-1")
	if got, err := c.Lookup(t.Context(), "telegram", "4711"); err != nil || got != (client.Person{Customer: "customer-1", Identity: "identity-1"}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, other := range [][2]string{{"telegram", "4712"}, {"email", "4711"}, {"", ""}} {
		if got, err := c.Lookup(t.Context(), other[0], other[1]); !errors.Is(err, client.NotFound) || got != (client.Person{}) {
			t.Errorf("%q: %+v, %v", other, got, err)
		}
	}
}

func TestAnswersThatAreNotUnderstoodOpenNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
	}{
		"nothing": {200, ""}, "an empty object": {200, "{}"}, "null": {200, "null"}, "a list": {200, "[]"}, "a page": {200, "<html>"},
		"no reason":                   {200, `{"required":false,"identity_id":"i"}`},
		"a reason that closes":        {200, `{"required":false,"reason":"pin_needed","customer_id":"c"}`},
		"a reason that is not known":  {200, `{"required":false,"reason":"new"}`},
		"a text instead of a boolean": {200, `{"required":"false","reason":"skill_not_protected","identity_id":1}`},
		"more than one value":         {200, `{"required":false,"reason":"skill_not_protected"}{}`},
		"500":                         {500, `{"required":false,"reason":"skill_not_protected","identity_id":"i","customer_id":"c"}`},
		"401":                         {401, `{"detail":"Invalid credential"}`},
		"404":                         {404, `{"detail":"Instance not found"}`},
		"a redirect":                  {302, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, c := connect(t)
			d.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(test.status)
				w.Write([]byte(test.body))
				return true
			})
			if got, err := c.CheckRequired(t.Context(), person, "read", client.Secret{}); err == nil || got != (client.Requirement{}) {
				t.Errorf("CheckRequired: %+v, %v", got, err)
			} else if test.status == 401 && !errors.Is(err, client.Unauthorized) || test.status == 404 && !errors.Is(err, client.NotFound) {
				t.Errorf("CheckRequired: %v", err)
			}
			if got, err := c.Lookup(t.Context(), "telegram", "4711"); err == nil || got != (client.Person{}) {
				t.Errorf("Lookup: %+v, %v", got, err)
			}
			if got, err := c.Get(t.Context(), "approval-1"); err == nil || got.Status != "" {
				t.Errorf("Get: %+v, %v", got, err)
			}
		})
	}
}

// A URL has the ids of people, and a log has the errors.
func TestErrorsHaveNoIDsOfPeople(t *testing.T) {
	t.Parallel()
	c, err := client.New(client.Config{URL: "http://127.0.0.1:1", Instance: "instance-1", ProxyKey: client.NewSecret("csp_canary")})
	if err != nil {
		t.Fatal(err)
	}
	// The deadline is nearer than the pause before the second try.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = c.Lookup(ctx, "telegram", "canary-4711")
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "asking countersign: ") {
		t.Errorf("%v", err)
	}
}
