package api_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/testkit/webtest"
)

func (s *service) trail(query string) webtest.Answer {
	s.t.Helper()
	return s.Want(s.ask("GET", "/v1/audit?"+query, nil), 200)
}

func TestChangesAreRecorded(t *testing.T) {
	t.Parallel()
	s := newService(t)
	admin, claims := s.signIn("admin@example.com", "admin")
	requestID := uuid.NewString()
	header := map[string]string{"Authorization": "Bearer " + admin, "X-Request-Id": requestID}
	created := s.Want(s.Do(webtest.Request{Method: "POST", Path: "/v1/customers", Header: header, Body: object{"email": "ann@example.com", "display_name": "Ann Lee"}}), 201)
	s.Fields(s.trail(""), object{
		"items.0.action": "customer.created", "items.0.actor.kind": "user", "items.0.actor.id": claims.Subject, "items.0.request_id": requestID,
		"items.0.address": "127.0.0.1", "items.0.customer_id": created.JSON("id"), "items.0.identity_id": nil, "items.0.instance_id": nil, "items.0.target_id": nil,
		"items.1": nil, "next_cursor": nil})

	instance := s.people.Instance().String()
	customer := "/v1/customers/" + created.JSON("id").(string)
	s.Want(s.ask("PATCH", customer, object{"email": "bea@example.com"}), 200)
	s.Fields(s.trail("limit=1"), object{"items.0.action": "customer.updated", "items.0.actor.kind": "api_key", "items.0.details.changed.0": "email", "items.0.details.changed.1": nil})
	s.Want(s.ask("PATCH", "/v1/instances/"+instance, object{"owner_customer_id": created.JSON("id")}), 200)
	s.Fields(s.trail("limit=1"), object{"items.0.instance_id": instance, "items.0.details.owner_customer_id": created.JSON("id")})
	identity, _ := s.add(customer+"/identities", object{"instance_id": instance, "channel": "sms", "external_id": "+4930", "display_name": "Ann Lee"})
	s.Want(s.ask("PATCH", identity, object{"role_override": "owner"}), 200)
	s.Fields(s.trail("limit=1"), object{"items.0.instance_id": instance, "items.0.customer_id": created.JSON("id"), "items.0.identity_id": identity[len(identity)-36:],
		"items.0.details.changed.0": "role_override", "items.0.details.role_override": "owner", "items.0.details.verified": false})
	key, issued := s.add("/v1/instances/"+instance+"/proxy-keys", object{"name": "Ann's"})
	s.Want(s.ask("DELETE", key, nil), 204)
	s.Fields(s.trail("limit=2"), object{"items.0.action": "proxy_key.revoked", "items.0.target_id": issued.JSON("id"), "items.0.instance_id": instance,
		"items.1.target_id": issued.JSON("id"), "items.1.details.prefix": issued.JSON("prefix")})
	s.Want(s.ask("PATCH", "/v1/instances/"+instance+"/pin-policy", object{"pin_applies_to": "owner"}), 200)
	s.Fields(s.trail("limit=1"), object{"items.0.action": "policy.changed", "items.0.details.pin_applies_to": "owner"})

	// The trail is kept after a customer is deleted, so it contains no personal data.
	for _, personal := range []string{"ann@", "bea@", "Ann", "+4930"} {
		if strings.Contains(s.trail("").Body, personal) {
			t.Errorf("the audit trail contains %q", personal)
		}
	}
	before := s.trail("").Body
	s.Want(s.ask("PATCH", customer, object{}), 200)
	s.Want(s.ask("PATCH", customer, object{"email": "no address"}), 422)
	s.Want(s.ask("PATCH", identity, object{}), 200)
	s.Want(s.ask("DELETE", key, nil), 204)
	s.Want(s.ask("DELETE", customer, nil), 409)
	if s.trail("").Body != before {
		t.Error("requests without a change were recorded")
	}
}

func TestAuditFilters(t *testing.T) {
	t.Parallel()
	s := newService(t)
	ann, bea, shop := uuid.NewString(), uuid.NewString(), uuid.NewString()
	for hour, row := range []struct{ customer, instance any }{{ann, nil}, {ann, shop}, {bea, shop}, {nil, nil}} {
		s.people.Exec(`insert into audit (at, actor_kind, action, customer_id, instance_id, request_id, address)
			values (timestamptz '2026-01-01T00:00:00Z' + $1 * interval '1 hour', 'operator', 'test.' || $1, $2, $3, '', '')`, hour, row.customer, row.instance)
	}
	at := func(hour int) string { return fmt.Sprintf("2026-01-01T%02d:00:00Z", hour) }
	for _, rule := range []struct {
		query string
		want  string
	}{
		{"", "3 2 1 0"},
		{"customer_id=" + ann, "1 0"},
		{"customer_id=" + strings.ToUpper(ann), "1 0"},
		{"instance_id=" + shop, "2 1"},
		{"customer_id=" + ann + "&instance_id=" + shop, "1"},
		{"action=test.2", "2"},
		{"action=test.2&customer_id=" + ann, ""},
		{"action=test.", ""},
		{"action=%25", ""},
		{"action=" + url.QueryEscape(`' or 1=1 --`), ""},
		{"customer_id=" + uuid.NewString(), ""},
		{"since=" + at(1), "3 2 1"},
		{"until=" + at(1), "0"},
		{"since=" + at(1) + "&until=" + at(3), "2 1"},
		{"since=" + at(3) + "&until=" + at(1), ""},
		{"since=2026-01-01T03:00:00%2B02:00", "3 2 1"},
		{"since=0000-01-01T00:00:00Z&until=9999-12-31T23:59:59Z", "3 2 1 0"},
	} {
		got := texts(s.trail(rule.query), "action")
		if joined := strings.ReplaceAll(strings.Join(got, " "), "test.", ""); joined != rule.want {
			t.Errorf("%s: %q, want %q", rule.query, joined, rule.want)
		}
	}
	for query, kind := range map[string]string{
		"customer_id=x": "uuid_parsing", "instance_id=": "uuid_parsing", "action=": "string_too_short", "action=%00": "value_error",
		"action=" + strings.Repeat("x", 101): "string_too_long", "since=yesterday": "datetime_parsing", "until=2026-01-01": "datetime_parsing",
		"since=2026-01-01T00:00:00": "datetime_parsing", "limit=0": "greater_than_equal", "limit=201": "less_than_equal", "limit=x": "int_parsing",
		"cursor=": "value_error", "cursor=x": "value_error", "cursor=" + strings.Repeat("A", 103): "value_error", "cursor=" + strings.Repeat("A", 256): "string_too_long",
	} {
		a := s.ask("GET", "/v1/audit?"+query, nil)
		if a.Status != 422 || a.JSON("detail.0.type") != kind || a.JSON("detail.0.loc.0") != "query" || a.JSON("detail.0.loc.1") != strings.Split(query, "=")[0] {
			t.Errorf("%s: %d %s, want %s", query, a.Status, a.Body, kind)
		}
	}
}

func TestAuditPagesAreStableWhileRowsAreAdded(t *testing.T) {
	t.Parallel()
	s := newService(t)
	add := func(n int) {
		s.people.Exec(`insert into audit (at, actor_kind, action, request_id, address) select now() - n / 10 * interval '1 second', 'operator', 'test.row', '', ''
			from generate_series(1, $1) n`, n) // ten rows have the same time
	}
	add(53)
	var ids []float64
	query := "action=test.row&limit=7"
	for pages := 1; ; pages++ {
		a := s.trail(query)
		for _, item := range a.JSON("items").([]any) {
			ids = append(ids, item.(map[string]any)["id"].(float64))
		}
		next, more := a.JSON("next_cursor").(string)
		if !more {
			if pages != 8 || len(ids) != 53 {
				t.Errorf("%d rows on %d pages, want 53 on 8", len(ids), pages)
			}
			break
		}
		query = "action=test.row&limit=7&cursor=" + next
		add(3)
	}
	if sorted := slices.Sorted(slices.Values(ids)); len(slices.Compact(sorted)) != len(ids) {
		t.Error("a row is on two pages")
	}
	s.Fields(s.trail("action=test.row&limit=200"), object{"items.73.action": "test.row", "items.74": nil, "next_cursor": nil})
	s.people.Exec(`delete from audit where action = 'test.row'`)
	add(7)
	s.Fields(s.trail("action=test.row&limit=7"), object{"next_cursor": nil}) // the last page is full, and there is no next page
}

func TestForgedCursorsAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.people.Exec(`insert into audit (actor_kind, action, request_id, address) select 'operator', 'test.row', '', '' from generate_series(1, 3)`)
	cursor, _ := s.trail("limit=1").JSON("next_cursor").(string)
	s.Fields(s.trail("limit=1&cursor="+cursor), object{"items.0.action": "test.row"})
	forge := func(ring string, purpose keyring.Purpose, plain string) string {
		r, err := keyring.Parse(ring)
		must(t, err)
		sealed, err := r.Seal(purpose, "", []byte(plain))
		must(t, err)
		return base64.RawURLEncoding.EncodeToString(sealed)
	}
	position := strings.Repeat("\x00", 16)
	forged := map[string]string{
		"sealed under another secret":    forge("one:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=", keyring.AuditCursor, position),
		"of an unknown key id":           forge("two:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", keyring.AuditCursor, position),
		"sealed for another purpose":     forge(webtest.Keys, keyring.Pepper, position),
		"of another length":              forge(webtest.Keys, keyring.AuditCursor, position+"x"),
		"cut short":                      cursor[:len(cursor)-1],
		"with one character more":        cursor + "A",
		"in standard base64":             base64.StdEncoding.EncodeToString([]byte(cursor)),
		"not sealed":                     base64.RawURLEncoding.EncodeToString([]byte(`one:{"id":1}`)),
		"with SQL in it":                 url.QueryEscape("' or 1=1 --"),
		"an id":                          "1",
		"with a sign of standard base64": url.QueryEscape("+" + cursor[1:]),
	}
	for i := range cursor {
		other := "A"
		if cursor[i] == 'A' {
			other = "B"
		}
		forged[fmt.Sprintf("with character %d changed", i)] = cursor[:i] + other + cursor[i+1:]
	}
	for name, cursor := range forged {
		a := s.ask("GET", "/v1/audit?cursor="+cursor, nil)
		if a.Status != 422 || a.JSON("detail.0.type") != "value_error" || a.JSON("detail.0.loc.0") != "query" || a.JSON("detail.0.loc.1") != "cursor" {
			t.Errorf("a cursor %s: %d %s", name, a.Status, a.Body)
		}
	}
	s.people.Exec(`delete from audit`)
	s.Fields(s.trail("limit=1&cursor="+cursor), object{"items.0": nil, "next_cursor": nil})
}
