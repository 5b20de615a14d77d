package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

func TestDecryptNeedsAFreshProofAndIsRecorded(t *testing.T) {
	t.Parallel()
	b := newService(t).bearer()
	path := b.stored(map[string]any{"exchange": "coinbase", "api_key": "Canary-api-key", "api_secret": "Canary-secret", "api_passphrase": "Canary-phrase"})
	reveal := func(status int) answer {
		t.Helper()
		return b.want(b.ask(http.MethodPost, path+"/decrypt", nil), status)
	}
	rows := func(action string) int {
		return one[int](b.deployment, `select count(*) from audit where action = $1 and actor_kind = 'user'`, action)
	}
	a := reveal(http.StatusOK)
	if fmt.Sprint(a.body["data"]) != "map[api_key:Canary-api-key passphrase:Canary-phrase secret:Canary-secret]" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %v %s", a.Header, a.Body)
	}
	if n := rows("exchange_key.revealed"); n != 1 {
		t.Errorf("%d audit rows", n)
	}
	b.exec(`update user_sessions set proved_at = now() - interval '5 minutes 1 second'`)
	a = reveal(http.StatusUnauthorized)
	if challenge := a.Header.Get("WWW-Authenticate"); !strings.Contains(challenge, `error="insufficient_user_authentication"`) || strings.Contains(a.Body, "Canary") {
		t.Errorf("got %s, %s", challenge, a.Body)
	}
	if revealed, refused := rows("exchange_key.revealed"), rows("access.refused"); revealed != 1 || refused != 1 {
		t.Errorf("%d revealed, %d refused", revealed, refused)
	}
	b.exec(`update user_sessions set proved_at = now() - interval '4 minutes 50 seconds'`)
	reveal(http.StatusOK)
	// Without an audit row, nothing is revealed.
	b.exec(`alter table audit add constraint refuse check (action <> 'exchange_key.revealed') not valid`)
	a, err := b.tried(path + "/decrypt")
	if err != nil || a.Status != http.StatusInternalServerError || strings.Contains(a.Body, "Canary") {
		t.Errorf("got %d %s, %v", a.Status, a.Body, err)
	}
}

func TestNewCredentialsOfAnExchangeKeyNeedAFreshProof(t *testing.T) {
	t.Parallel()
	b := newService(t).bearer()
	path := b.stored(map[string]any{"exchange": "coinbase", "api_key": "Canary-api-key", "api_secret": "Canary-secret", "api_passphrase": "Canary-phrase"})
	stored := func() string {
		return one[string](b.deployment, `select md5(credentials_sealed) || masked_key || coalesce(label, '') from exchange_keys`)
	}
	changes := []map[string]any{
		{"api_key": "Canary-other"}, {"api_secret": "Canary-other"}, {"api_passphrase": "Canary-other"}, {"api_passphrase": nil}, {"api_key": "Canary-other", "label": "Mine"},
	}
	for _, change := range changes {
		b.exec(`update user_sessions set proved_at = now() - interval '301 seconds'`)
		before := stored()
		a := b.want(b.ask(http.MethodPatch, path, change), http.StatusUnauthorized)
		challenge := a.Header.Get("WWW-Authenticate")
		if !strings.Contains(challenge, `error="insufficient_user_authentication"`) || !strings.Contains(challenge, `max_age="300"`) || strings.Contains(a.Body, "Canary") || stored() != before {
			t.Errorf("%v: got %s, %s", change, challenge, a.Body)
		}
		if phrase, given := change["api_passphrase"]; given && phrase == nil {
			continue // this exchange needs a passphrase
		}
		b.exec(`update user_sessions set proved_at = now()`)
		b.want(b.ask(http.MethodPatch, path, change), http.StatusOK)
		if stored() == before {
			t.Errorf("%v changed nothing", change)
		}
	}
	b.exec(`update user_sessions set proved_at = now() - interval '301 seconds'`)
	b.want(b.ask(http.MethodPatch, path, map[string]any{"label": "Yours", "permissions": []string{"read"}, "is_testnet": true}), http.StatusOK)
	if n := one[int](b.deployment, `select count(*) from audit where action = 'access.refused' and details->>'why' = 'not_fresh'`); n != len(changes) {
		t.Errorf("%d refusals in the audit trail", n)
	}
}

// tried sends a POST that may be answered with 500.
func (b bearer) tried(path string) (answer, error) {
	a, err := b.server.Try(webtest.Request{Method: http.MethodPost, Path: path, Header: map[string]string{"Authorization": "Bearer " + b.access}})
	return answer{Answer: a}, err
}

func TestDecryptAndTestConnectionAreLimited(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.settings.Rates.Decrypt, s.settings.Rates.Connection = 3, 3
	b := bearer{s.replica(oldKey), s.bearer().access}
	other := bearer{b.service, s.bearer().access}
	paths := []string{b.stored(sandboxKey()), b.stored(sandboxKey())}
	for _, what := range []string{"/decrypt", "/test-connection"} {
		for i := range 3 {
			b.want(b.ask(http.MethodPost, paths[i%2]+what, nil), http.StatusOK)
		}
		if a := b.want(b.ask(http.MethodPost, paths[0]+what, nil), http.StatusTooManyRequests); a.Header.Get("Retry-After") == "" {
			t.Errorf("got %v", a.Header)
		}
		other.want(other.ask(http.MethodPost, other.stored(sandboxKey())+what, nil), http.StatusOK)
	}
}

func TestCredentialsAreNotStored(t *testing.T) {
	t.Parallel()
	s := newService(t)
	b := s.bearer()
	secrets := []string{"Canary-api-key-0001", "Canary-secret-0001", "Canary-phrase-0001", "Canary-api-key-0002", "Canary-secret-0002"}
	path := b.stored(map[string]any{"exchange": "okx", "api_key": secrets[0], "api_secret": secrets[1], "api_passphrase": secrets[2], "label": "Here I am"})
	b.want(b.ask(http.MethodPatch, path, map[string]any{"api_key": secrets[3], "api_secret": secrets[4]}), http.StatusOK)
	b.want(b.ask(http.MethodPost, path+"/decrypt", nil), http.StatusOK)
	b.test(b.stored(sandboxKey()))
	if keys := b.ask(http.MethodGet, "/auth/export", nil).body["exchange_keys"]; fmt.Sprint(keys) != fmt.Sprint(b.ask(http.MethodGet, keysPath, nil).body["data"]) {
		t.Errorf("exported: %v", keys)
	}
	dump := s.people.Dump()
	if !strings.Contains(dump, "Here I am") || !strings.Contains(dump, "Cana…0002") {
		t.Error("the dump does not contain the keys")
	}
	for _, secret := range append(secrets, "sandbox-secret", "sandbox-key") {
		if strings.Contains(dump, secret) || strings.Contains(dump, fmt.Sprintf("%x", secret)) {
			t.Errorf("stored: %s", secret)
		}
	}
	// The sealed credentials of another key do not open.
	other := b.stored(sandboxKey())
	b.exec(`update exchange_keys set credentials_sealed = (select credentials_sealed from exchange_keys where label is not null) where '/api/v1/api-keys/' || id = $1`, other)
	if a, err := b.tried(other + "/decrypt"); err != nil || a.Status != http.StatusInternalServerError || strings.Contains(a.Body, "Canary") {
		t.Errorf("got %d %s, %v", a.Status, a.Body, err)
	}
	rotated := bearer{s.replica(both), b.access}
	if data := rotated.ask(http.MethodPost, path+"/decrypt", nil).body["data"]; fmt.Sprint(data) != "map[api_key:Canary-api-key-0002 passphrase:Canary-phrase-0001 secret:Canary-secret-0002]" {
		t.Errorf("with another current key: %v", data)
	}
	s.exec(`delete from users`)
	if n := one[int](s.deployment, `select count(*) from exchange_keys`); n != 0 {
		t.Errorf("%d keys of a deleted user", n)
	}
}
