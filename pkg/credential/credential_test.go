package credential_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/credential"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/token"
)

// world has one proxy key and one API key. internal reads them with the role of pin-internal, admin with the role of pin-admin.
type world struct {
	people          storetest.People
	internal, admin credential.Keys
	instance        uuid.UUID
	proxyKey        token.Token
	apiKey          token.Token
}

func newWorld(t *testing.T) *world {
	t.Helper()
	database := storetest.Postgres(t)
	people := storetest.NewPeople(t, database)
	w := &world{people: people, instance: people.Instance(),
		internal: credential.Keys{DB: database.Open(t, schema.RolePinInternal)}, admin: credential.Keys{DB: database.Open(t, schema.RolePinAdmin)}}
	var err error
	if _, w.proxyKey, err = w.admin.IssueProxyKey(t.Context(), w.instance, credential.NewKey{}); err != nil {
		t.Fatal(err)
	}
	if _, w.apiKey, err = w.admin.IssueAPIKey(t.Context(), []string{"read"}, credential.NewKey{}); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestOnlyValidKeysAreAuthenticated(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name, change string
		want         error
	}{
		{"unchanged", `set name = 'x'`, nil},
		{"expires later", `set expires_at = now() + interval '1 minute'`, nil},
		{"expires now", `set expires_at = now()`, caller.ErrInvalid},
		{"revoked", `set revoked_at = now()`, caller.ErrInvalid},
		{"revoked in the future", `set revoked_at = now() + interval '1 hour'`, caller.ErrInvalid},
		{"another hash", `set key_hash = sha256('x')`, caller.ErrInvalid},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.people.Exec(`update proxy_keys ` + rule.change)
			w.people.Exec(`update api_keys ` + rule.change)
			agent, err := w.internal.AuthenticateProxyKey(t.Context(), w.proxyKey)
			if !errors.Is(err, rule.want) || err == nil && (agent.Kind != caller.ProxyKey || agent.InstanceID != w.instance) {
				t.Errorf("the proxy key: %v, %v", agent.Kind, err)
			}
			backend, err := w.admin.AuthenticateAPIKey(t.Context(), w.apiKey.Reveal())
			if !errors.Is(err, rule.want) || err == nil && (backend.Kind != caller.APIKey || !slices.Equal(backend.Scopes, []string{"read"})) {
				t.Errorf("the API key: %v, %v", backend.Kind, err)
			}
			if err == nil {
				if same, err := w.admin.AuthenticateAPIKeyID(t.Context(), backend.ID); err != nil || same.ID != backend.ID {
					t.Errorf("the id of the API key: %v", err)
				}
			}
		})
	}
}

func TestMalformedAPIKeysAreInvalid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, text := range []string{"", "csa_", w.apiKey.Reveal() + "0", w.proxyKey.Reveal()} {
		if _, err := w.admin.AuthenticateAPIKey(t.Context(), text); !errors.Is(err, caller.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestUseOfAKeyIsRecordedOnceAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	use := func() (proxyKey, apiKey time.Time) {
		t.Helper()
		if _, err := w.internal.AuthenticateProxyKey(t.Context(), w.proxyKey); err != nil {
			t.Fatal(err)
		}
		if _, err := w.admin.AuthenticateAPIKey(t.Context(), w.apiKey.Reveal()); err != nil {
			t.Fatal(err)
		}
		w.people.Get(&proxyKey, `select last_used_at from proxy_keys`)
		w.people.Get(&apiKey, `select last_used_at from api_keys`)
		return proxyKey, apiKey
	}
	firstProxyKey, firstAPIKey := use()
	if proxyKey, apiKey := use(); proxyKey != firstProxyKey || apiKey != firstAPIKey {
		t.Error("a second use within a minute was recorded")
	}
	for _, table := range []string{"proxy_keys", "api_keys"} {
		w.people.Exec(`update ` + table + ` set last_used_at = last_used_at - interval '61 seconds'`)
	}
	if proxyKey, apiKey := use(); proxyKey.Before(firstProxyKey) || apiKey.Before(firstAPIKey) {
		t.Error("a use after a minute was not recorded")
	}
}

// A request that cannot record the use of its key at once does not wait, and is answered.
func TestKeyIsAuthenticatedWhileItsRowIsLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.people.Begin()
	other.MustExec(`select from proxy_keys for update`)
	other.MustExec(`select from api_keys for update`)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // the test's connections have no limits of their own
	defer cancel()
	if _, err := w.internal.AuthenticateProxyKey(ctx, w.proxyKey); err != nil {
		t.Errorf("a proxy key: %v", err)
	}
	if _, err := w.admin.AuthenticateAPIKey(ctx, w.apiKey.Reveal()); err != nil {
		t.Errorf("an API key: %v", err)
	}
}

func TestRevocationIsRecordedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, err := w.internal.AuthenticateProxyKey(t.Context(), w.proxyKey)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.admin.RevokeProxyKey(t.Context(), w.instance, key.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.admin.RevokeProxyKey(t.Context(), uuid.New(), key.ID); !errors.Is(err, credential.ErrNoKey) {
		t.Errorf("with another instance: %v", err)
	}
	var rows int
	if w.people.Get(&rows, `select count(*) from audit where action = 'proxy_key.revoked'`); rows != 1 {
		t.Errorf("%d audit rows, want 1", rows)
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	if _, _, err := w.admin.IssueAPIKey(t.Context(), []string{"admin"}, credential.NewKey{ExpiresAt: &yesterday}); !errors.Is(err, credential.ErrExpired) {
		t.Errorf("an expiry in the past: %v", err)
	}
}

func TestAnAPIKeyIssuesOnlyWhatItMayDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issuer, err := w.admin.AuthenticateAPIKey(t.Context(), w.apiKey.Reveal()) // it has the scope read
	if err != nil {
		t.Fatal(err)
	}
	as := caller.NewContext(t.Context(), issuer)
	if _, _, err := w.admin.IssueAPIKey(as, []string{"read"}, credential.NewKey{}); err != nil {
		t.Errorf("the scope of the issuer: %v", err)
	}
	for _, scopes := range [][]string{{"admin"}, {"read", "admin"}} {
		if _, _, err := w.admin.IssueAPIKey(as, scopes, credential.NewKey{}); !errors.Is(err, credential.ErrExceeds) {
			t.Errorf("%v: %v", scopes, err)
		}
	}
	later := time.Now().Add(time.Hour)
	w.people.Exec(`update api_keys set expires_at = now() + interval '30 minutes'`)
	if _, _, err := w.admin.IssueProxyKey(as, w.instance, credential.NewKey{ExpiresAt: &later}); !errors.Is(err, credential.ErrOutlives) {
		t.Errorf("a later expiry: %v", err)
	}
}

// A key that was authenticated before its revocation issues no key after it.
func TestARevokedAPIKeyIssuesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people.Exec(`update api_keys set scopes = '{admin}'`)
	issuer, err := w.admin.AuthenticateAPIKey(t.Context(), w.apiKey.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	as := caller.NewContext(t.Context(), issuer)
	revocation := w.people.Begin()
	revocation.MustExec(`update api_keys set revoked_at = now()`)
	refused := make(chan error, 2)
	go func() {
		_, _, err := w.admin.IssueAPIKey(as, []string{"read"}, credential.NewKey{})
		refused <- err
	}()
	go func() {
		_, _, err := w.admin.IssueProxyKey(as, w.instance, credential.NewKey{})
		refused <- err
	}()
	w.people.AwaitLocks(2)
	if err := revocation.Commit(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-refused; !errors.Is(err, caller.ErrInvalid) {
			t.Errorf("issued during the revocation: %v", err)
		}
	}
}
