package api_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestSetReplaceAndRemoveAPIN(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, instance := s.people.Customer(), s.people.Instance()
	identity := s.people.Identity(customer, instance)
	for name, path := range map[string]string{
		"customer":         "/v1/customers/" + customer.String() + "/pin",
		"identity":         "/v1/customers/" + customer.String() + "/identities/" + identity.String() + "/pin",
		"id in upper case": "/v1/customers/" + strings.ToUpper(s.people.Customer().String()) + "/pin/",
	} {
		t.Run(name, func(t *testing.T) {
			absent := object{"has_pin": false, "is_active": false, "is_locked": false, "locked_until": nil, "created_at": nil}
			s.Fields(s.Want(s.ask("GET", path, nil), 200), absent)
			s.Want(s.ask("DELETE", path, nil), 204)
			s.Fields(s.Want(s.ask("POST", strings.TrimSuffix(path, "/")+"/unlock", nil), 200), absent)
			set := s.Want(s.ask("POST", path, object{"pin": goodPIN}), 200)
			s.Fields(set, object{"has_pin": true, "is_active": true, "is_locked": false, "locked_until": nil})
			if at, _ := set.JSON("created_at").(string); !strings.HasSuffix(at, "Z") {
				t.Errorf("created_at %q", at)
			}
			s.Want(s.ask("POST", path, object{"pin": otherPIN}), 200)
			if removed := s.Want(s.ask("DELETE", path, nil), 204); removed.Body != "" {
				t.Errorf("204 with a body: %q", removed.Body)
			}
			s.Fields(s.Want(s.ask("GET", path, nil), 200), absent)
		})
	}
	var rows int
	s.people.Get(&rows, `select count(*) from audit where action in ('pin.set', 'pin.removed')`)
	if rows != 9 {
		t.Errorf("%d rows in the audit trail, want 9: three PINs, each set twice and removed once", rows)
	}
}

func TestUnlock(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer := s.people.Customer()
	path := "/v1/customers/" + customer.String() + "/pin"
	s.Fields(s.Want(s.ask("POST", path+"/unlock", nil), 200), object{"has_pin": false})
	s.Want(s.ask("POST", path, object{"pin": goodPIN}), 200)
	s.people.Exec(`update pin_holders set charged = 7, window_start = 5, locks = 1, locked_by = 5, locked_until = now() + interval '1 hour'`)
	locked := s.Want(s.ask("GET", path, nil), 200)
	if s.Fields(locked, object{"is_locked": true, "is_active": true}); locked.JSON("locked_until") == nil {
		t.Error("locked_until is null")
	}
	s.Fields(s.Want(s.ask("POST", path+"/unlock", nil), 200), object{"is_locked": false, "locked_until": nil})
	var kept bool
	s.people.Get(&kept, `select locks = 1 and forgiven = 0 and window_start = 7 from pin_holders`)
	if !kept {
		t.Error("an unlock must keep the number of locks and the consecutive failures, and start a new window")
	}
	s.people.Exec(`update pin_holders set deactivated_by = 7, locked_until = now() + interval '1 hour'`)
	s.Fields(s.Want(s.ask("GET", path, nil), 200), object{"has_pin": true, "is_active": false, "is_locked": false, "locked_until": nil})
	s.Fields(s.Want(s.ask("POST", path, object{"pin": goodPIN}), 200), object{"is_active": true, "is_locked": false})
}

func TestUnknownCustomersAndIdentitiesAreNotFound(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, stranger, instance := s.people.Customer(), s.people.Customer(), s.people.Instance()
	identity := s.people.Identity(stranger, instance)
	for _, path := range []string{
		"/v1/customers/" + uuid.NewString() + "/pin",
		"/v1/customers/" + uuid.NewString() + "/identities/" + identity.String() + "/pin",
		"/v1/customers/" + customer.String() + "/identities/" + identity.String() + "/pin",
		"/v1/customers/" + customer.String() + "/identities/" + uuid.NewString() + "/pin",
	} {
		s.Want(s.ask("GET", path, nil), 404)
		s.Want(s.ask("POST", path, object{"pin": goodPIN}), 404)
		s.Want(s.ask("DELETE", path, nil), 404)
		s.Want(s.ask("POST", path+"/unlock", nil), 404)
	}
	s.Want(s.ask("GET", "/v1/customers/nobody/pin", nil), 422)
	s.Want(s.ask("GET", "/v1/instances/"+uuid.NewString()+"/pin-policy", nil), 404)
	s.Want(s.ask("PATCH", "/v1/instances/"+uuid.NewString()+"/pin-policy", object{}), 404)
}

func TestInvalidPINsAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	path := "/v1/customers/" + s.people.Customer().String() + "/pin"
	for body, kind := range map[string]string{
		``: "missing", `{}`: "missing", `{"pin": 8317}`: "string_type", `{"pin": "831"}`: "string_too_short", `{"pin": "8317x"}`: "string_pattern_mismatch",
		`{"pin": "1234"}`: "value_error", `{"pin": "9999"}`: "value_error", `{"pin": "2001"}`: "value_error", `[1]`: "model_attributes_type", `{"pin`: "json_invalid",
	} {
		a := s.Want(s.ask("POST", path, body), 422)
		s.Fields(a, object{"detail.0.type": kind})
	}
	s.Fields(s.Want(s.ask("GET", path, nil), 200), object{"has_pin": false})
}
