package api_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/accesstoken"
	"github.com/countersign/countersign/pkg/testkit/webtest"
)

// freshActs are the acts that need a sign-in or step-up of the last 5 minutes, by operation. CUSTOMER, IDENTITY and INSTANCE are
// replaced by real ids.
var freshActs = map[string]struct {
	method, path string
	body         any
	status       int
}{
	"setCustomerPIN":       {"POST", "/v1/customers/CUSTOMER/pin", object{"pin": otherPIN}, 200},
	"removeCustomerPIN":    {"DELETE", "/v1/customers/CUSTOMER/pin", nil, 204},
	"unlockCustomerPIN":    {"POST", "/v1/customers/CUSTOMER/pin/unlock", nil, 200},
	"issueEnrolment":       {"POST", "/v1/customers/CUSTOMER/pin/enrolment", nil, 201},
	"setCustomerPhrase":    {"PUT", "/v1/customers/CUSTOMER/phrase", object{"phrase": "blue bird"}, 204},
	"removeCustomerPhrase": {"DELETE", "/v1/customers/CUSTOMER/phrase", nil, 204},
	"setIdentityPIN":       {"POST", "/v1/customers/CUSTOMER/identities/IDENTITY/pin", object{"pin": otherPIN}, 200},
	"removeIdentityPIN":    {"DELETE", "/v1/customers/CUSTOMER/identities/IDENTITY/pin", nil, 204},
	"unlockIdentityPIN":    {"POST", "/v1/customers/CUSTOMER/identities/IDENTITY/pin/unlock", nil, 200},
	"updateCustomer":       {"PATCH", "/v1/customers/CUSTOMER", object{"display_name": "Ada"}, 200},
	"updatePINPolicy":      {"PATCH", "/v1/instances/INSTANCE/pin-policy", object{"pin_session_ttl_minutes": 7}, 200},
	"putSkill":             {"PUT", "/v1/instances/INSTANCE/skills/pay", object{"mode": "open"}, 201},
	"removeSkill":          {"DELETE", "/v1/instances/INSTANCE/skills/pay", nil, 204},
	"issueProxyKey":        {"POST", "/v1/instances/INSTANCE/proxy-keys", object{}, 201},
	"issueAPIKey":          {"POST", "/v1/api-keys", object{"scopes": []string{"admin"}}, 201},
}

func TestActsThatNeedAFreshSignIn(t *testing.T) {
	t.Parallel()
	s := newService(t)
	admin, claims := s.signIn("admin@example.com", "admin")
	user, _ := s.signIn("user@example.com", "user")
	var key uuid.UUID
	s.people.Get(&key, `select id from api_keys`)
	ofKey := accesstoken.Claims{ClientID: key.String(), Scope: "admin", RegisteredClaims: claims.RegisteredClaims}
	ofKey.Subject = key.String()
	keyToken := s.sign(&ofKey)
	proved := func(ago string) {
		s.people.Exec(`update user_sessions set proved_at = now() - $1::interval`, ago)
	}
	// state is what the acts can change: everything except the audit trail and the times of use of keys.
	state := func() (text string) {
		s.people.Get(&text, `select concat_ws('/', (select string_agg(t::text, ',') from pin_holders t), (select string_agg(t::text, ',') from instances t),
			(select string_agg(t::text, ',') from customers t), (select count(*) from proxy_keys), (select count(*) from api_keys), (select count(*) from skills))`)
		return text
	}
	for name, act := range freshActs {
		bearer := func(token string) webtest.Request {
			customer, instance := s.people.Customer(), s.people.Instance()
			ids := strings.NewReplacer("CUSTOMER", customer.String(), "INSTANCE", instance.String(), "IDENTITY", s.people.Identity(customer, instance).String())
			return webtest.Request{Method: act.method, Path: ids.Replace(act.path), Body: act.body, Header: map[string]string{"Authorization": "Bearer " + token}}
		}
		proved("299 seconds")
		s.status(name+" by a fresh admin", bearer(admin), act.status)

		proved("301 seconds")
		r := bearer(admin)
		before := state()
		for _, r.Body = range []any{act.body, `{"pin"`, strings.Repeat("x", 20<<10)} { // the answer says nothing about the body
			a := s.Do(r)
			challenge := a.Header.Get("WWW-Authenticate")
			if a.Status != 401 || a.JSON("detail") != "Sign in again to do this" || a.Header.Get("X-Error-Code") != "insufficient_user_authentication" ||
				!strings.HasPrefix(challenge, `Bearer error="insufficient_user_authentication"`) || !strings.Contains(challenge, `max_age="300"`) {
				t.Errorf("%s by a stale admin: %d %s, %v", name, a.Status, a.Body, a.Header)
			}
		}
		if state() != before {
			t.Errorf("%s changed something although it was refused", name)
		}
		s.status(name+" by a stale user who is no admin", bearer(user), 403)
		keyRequest := bearer("")
		keyRequest.Header = s.apiKeyHeader()
		s.status(name+" by an API key", keyRequest, act.status)
		s.status(name+" by the access token of an API key", bearer(keyToken), act.status)

		proved("0") // as a step-up at auth does
		s.status(name+" after a step-up, with the same access token", bearer(admin), act.status)
	}
	proved("301 seconds")
	customer := "/v1/customers/" + s.people.Customer().String()
	s.Want(s.as(admin, "GET", customer, nil), 200)
	s.Want(s.as(admin, "DELETE", customer+"/sessions", nil), 204)
	s.Want(s.as(admin, "DELETE", customer, nil), 204)
	s.Want(s.as(admin, "DELETE", "/v1/api-keys/"+key.String(), nil), 204) // a revocation must not wait

	const refusals = `select count(distinct details) from audit where action = 'access.refused' and actor_kind = 'user' and details->>'why' = 'not_fresh'`
	var recorded int
	if s.people.Get(&recorded, refusals); recorded != len(freshActs) {
		t.Errorf("%d acts are in the audit trail, want %d", recorded, len(freshActs))
	}
}

// The OpenAPI document names the acts that need a fresh sign-in by their answer 401.
func TestActsThatNeedAFreshSignInAreDocumented(t *testing.T) {
	t.Parallel()
	var documented []string
	for path, item := range newService(t).app.API.Spec.Doc.Paths.Map() {
		for _, operation := range item.Operations() {
			if answer := operation.Responses.Value("401"); answer != nil && answer.Ref == "#/components/responses/Unproved" && !strings.HasPrefix(path, "/v1/me/") {
				documented = append(documented, operation.OperationID)
			}
		}
	}
	slices.Sort(documented)
	if want := slices.Sorted(maps.Keys(freshActs)); !slices.Equal(documented, want) {
		t.Errorf("the document has %q, want %q", documented, want)
	}
}

func TestKeysOfAnAPIKeyEndWithIt(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.people.Exec(`update api_keys set expires_at = '2031-01-01T00:00:00Z'`)
	for _, list := range []string{"/v1/api-keys", "/v1/instances/" + s.people.Instance().String() + "/proxy-keys"} {
		body := object{}
		if list == "/v1/api-keys" {
			body["scopes"] = []string{"admin", "read"}
		}
		for expiry, want := range map[any]any{
			nil: "2031-01-01T00:00:00Z", "2031-01-01T00:00:00Z": "2031-01-01T00:00:00Z", "2030-12-31T23:59:59Z": "2030-12-31T23:59:59Z", "2031-01-01T01:00:00+01:00": "2031-01-01T00:00:00Z",
		} {
			body["expires_at"] = expiry
			s.Fields(s.Want(s.ask("POST", list, body), 201), object{"expires_at": want})
		}
		delete(body, "expires_at")
		s.Fields(s.Want(s.ask("POST", list, body), 201), object{"expires_at": "2031-01-01T00:00:00Z"})
		for _, expiry := range []string{"2031-01-01T00:00:00.000001Z", "2031-01-01T00:00:00.0000001Z", "9999-12-31T23:59:59Z"} {
			body["expires_at"] = expiry
			a := s.Want(s.ask("POST", list, body), 422)
			s.Fields(a, object{"detail.0.loc.0": "body", "detail.0.loc.1": "expires_at", "detail.0.msg": "Value error, The key would expire later than the API key that issues it"})
		}
		admin, _ := s.signIn(uuid.NewString()+"@example.com", "admin")
		s.Fields(s.Want(s.as(admin, "POST", list, body), 201), object{"expires_at": "9999-12-31T23:59:59Z"})
	}
}
