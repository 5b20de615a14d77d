package api_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	s := newService(t)
	instance := s.people.Instance().String()
	path, customer := s.add("/v1/customers", object{"email": "ann@example.com", "display_name": "Ann"})
	account := "a&b=%/é"
	at, identity := s.add(path+"/identities", object{"instance_id": instance, "channel": "web_chat", "external_id": account, "role_override": "owner", "verified": true})
	lookup := func(instance, channel, account string) webtest.Answer {
		query := url.Values{"instance_id": {instance}, "channel": {channel}, "external_id": {account}}
		return s.ask("GET", "/v1/customers/lookup/identity?"+query.Encode(), nil)
	}
	s.Fields(s.Want(lookup(instance, "web_chat", account), 200), object{
		"identity_id": identity.JSON("id"), "customer_id": customer.JSON("id"), "customer_email": "ann@example.com", "channel": "web_chat",
		"external_id": account, "display_name": "Ann", "role_override": "owner", "verified": true})
	s.Want(s.ask("PATCH", at, object{"display_name": "Ann at work"}), 200)
	s.Fields(s.Want(lookup(strings.ToUpper(instance), "web_chat", account), 200), object{"display_name": "Ann at work"})
	s.Fields(s.Want(lookup(instance, "sms", account), 404), object{"detail": "Identity not found"})
	s.Want(lookup(instance, "web_chat", "%"), 404)
	s.Want(lookup(s.people.Instance().String(), "web_chat", account), 404)
	s.Fields(s.Want(lookup(instance, "fax", account), 422), object{"detail.0.type": "enum", "detail.0.loc.0": "query", "detail.0.loc.1": "channel"})
	s.Fields(s.Want(lookup("x", "sms", account), 422), object{"detail.0.type": "uuid_parsing", "detail.0.loc.1": "instance_id"})
	s.Want(lookup(instance, "sms", strings.Repeat("é", 255)), 404)
	s.Want(lookup(instance, "sms", strings.Repeat("é", 256)), 422)
	s.Want(s.ask("GET", "/v1/customers/lookup/identity", nil), 422)
	s.Want(s.ask("POST", "/v1/customers/lookup/identity", nil), 405)
	// "lookup" is not an id.
	s.Fields(s.Want(s.ask("GET", "/v1/customers/lookup", nil), 422), object{"detail.0.type": "uuid_parsing", "detail.0.loc.1": "customer_id"})
	s.Want(s.ask("GET", "/v1/customers/lookup/pin", nil), 422)
}
