package api_test

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	s := newService(t)
	var externalID, email string
	s.people.Get(&externalID, `select external_id from identities`)
	s.people.Get(&email, `select email from customers`)
	lookup := func(query string) webtest.Answer {
		return s.Do(webtest.Request{Method: "GET", Path: s.at("/lookup/identity?" + query), Header: s.bearer()})
	}
	s.Fields(s.Want(lookup("channel=telegram&external_id="+externalID), 200), map[string]any{"identity_id": s.identity.String(),
		"customer_id": s.customer.String(), "customer_email": email, "role_override": nil, "verified": false, "display_name": nil})
	s.Want(lookup("channel=whatsapp&external_id="+externalID), 404)
	s.Want(lookup("channel=telegram&external_id=nobody"), 404)
	s.Want(lookup("channel=telegram&external_id=%27%20or%201=1--"), 404)
	s.Fields(s.Want(lookup("channel=fax&external_id=1"), 422), map[string]any{"detail.0.type": "enum",
		"detail.0.msg": "Input should be 'telegram', 'whatsapp', 'voice', 'sms', 'email' or 'web_chat'"})
	s.Want(lookup("channel=sms&external_id="+strings.Repeat("é", 255)), 404)
	s.Want(lookup("channel=sms&external_id="+strings.Repeat("é", 256)), 422)
}
