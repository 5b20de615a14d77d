package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/services/auth/internal/exchange"
)

const keysPath = "/api/v1/api-keys"

// bearer is a signed-in user.
type bearer struct {
	*service
	access string
}

func (s *service) bearer() bearer {
	s.t.Helper()
	return bearer{s, s.login(s.user()).access}
}

// ask sends a request with the user's access token.
func (b bearer) ask(method, path string, body any) answer {
	b.t.Helper()
	return b.as(b.access, method, path, body)
}

// sandboxKey is a key that the sandbox accepts.
func sandboxKey() map[string]any {
	return map[string]any{"exchange": "sandbox", "api_key": "sandbox-key", "api_secret": "sandbox-secret"}
}

// stored stores a key and returns its path.
func (b bearer) stored(form map[string]any) string {
	b.t.Helper()
	a := b.want(b.ask(http.MethodPost, keysPath+"/", form), http.StatusOK)
	id, _ := a.JSON("data.id").(string)
	if _, err := uuid.Parse(id); err != nil || a.body["success"] != true || a.body["message"] == "" {
		b.t.Errorf("got %s", a.Body)
	}
	return keysPath + "/" + id
}

// listed returns a key from the list, or nil.
func (b bearer) listed(path string) map[string]any {
	b.t.Helper()
	a := b.want(b.ask(http.MethodGet, keysPath+"/", nil), http.StatusOK)
	for _, one := range a.body["data"].([]any) {
		if key := one.(map[string]any); keysPath+"/"+key["id"].(string) == path {
			return key
		}
	}
	return nil
}

// A key of another user gets the same answer as a key that does not exist, on every route and for every body.
func TestKeysOfOtherUsersAreNotFound(t *testing.T) {
	t.Parallel()
	s := newService(t)
	owner, stranger := s.bearer(), s.bearer()
	path := owner.stored(sandboxKey())
	before := one[string](s.deployment, `select k::text from exchange_keys k`)
	id := strings.TrimPrefix(path, keysPath+"/")
	for _, id := range []string{
		id, strings.ToUpper(id), uuid.NewString(), uuid.Nil.String(), "1", "x", "%00", "null", strings.ReplaceAll(id, "-", ""), "{" + id + "}", "urn:uuid:" + id,
		id + "x",
	} {
		for _, r := range []struct{ method, rest string }{
			{http.MethodPatch, ""}, {http.MethodDelete, ""}, {http.MethodPost, "/decrypt"}, {http.MethodPost, "/test-connection"},
		} {
			for _, body := range []any{nil, `{`, `[]`, map[string]any{"label": 1}, map[string]any{"label": "mine"}, strings.Repeat(" ", 16<<10+1)} {
				for _, slash := range []string{"", "/"} {
					a := stranger.ask(r.method, keysPath+"/"+id+r.rest+slash, body)
					if a.Status != http.StatusNotFound || a.Body != "{\"detail\":\"API key not found\"}\n" {
						t.Errorf("%s %s%s%s: got %d %s", r.method, id, r.rest, slash, a.Status, a.Body)
					}
				}
			}
		}
	}
	if a := stranger.ask(http.MethodGet, keysPath, nil); fmt.Sprint(a.body["data"]) != "[]" {
		t.Errorf("listed: %s", a.Body)
	}
	if after := one[string](s.deployment, `select k::text from exchange_keys k`); after != before {
		t.Errorf("the key was changed:\n%s\n%s", before, after)
	}
	for _, id := range []string{strings.ReplaceAll(id, "-", ""), "{" + id + "}", "urn:uuid:" + id} { // other spellings of the id
		owner.want(owner.ask(http.MethodPatch, keysPath+"/"+id, map[string]any{}), http.StatusNotFound)
	}
	owner.want(owner.ask(http.MethodPatch, keysPath+"/"+strings.ToUpper(id), map[string]any{}), http.StatusOK)
}

func TestCreateExchangeKeys(t *testing.T) {
	t.Parallel()
	b := newService(t).bearer()
	with := func(changes ...any) map[string]any {
		form := map[string]any{"exchange": "binance", "api_key": "Canary-key-1", "api_secret": "Canary-secret-1"}
		for i := 0; i < len(changes); i += 2 {
			form[changes[i].(string)] = changes[i+1]
			if changes[i+1] == "absent" {
				delete(form, changes[i].(string))
			}
		}
		return form
	}
	const missing = `"type":"missing","loc":["body",`
	for _, c := range []struct {
		name string
		form any
		want string
	}{
		{"an empty object", map[string]any{}, missing + `"exchange"]`},
		{"no key", with("api_key", "absent"), missing + `"api_key"]`},
		{"no secret", with("api_secret", "absent"), missing + `"api_secret"]`},
		{"an unknown exchange", with("exchange", "canary"), `"type":"enum","loc":["body","exchange"],"msg":"Input should be 'binance', 'binanceus', 'bybit', 'coinbase', 'kraken', 'okx' or 'sandbox'"`},
		{"an exchange in another case", with("exchange", "Binance"), `"type":"enum"`},
		{"no passphrase", with("exchange", "coinbase"), `"loc":["body","api_passphrase"],"msg":"Value error, This exchange needs the passphrase`},
		{"null for a passphrase", with("exchange", "okx", "api_passphrase", nil), `"loc":["body","api_passphrase"]`},
		{"an empty passphrase", with("exchange", "okx", "api_passphrase", ""), `"type":"string_too_short","loc":["body","api_passphrase"]`},
		{"an empty key", with("api_key", ""), `"loc":["body","api_key"]`},
		{"an empty secret", with("api_secret", ""), `"type":"string_too_short","loc":["body","api_secret"]`},
		{"a key of a kilobyte", with("api_key", strings.Repeat("k", 1025)), `"type":"string_too_long","loc":["body","api_key"]`},
		{"a long secret", with("api_secret", strings.Repeat("k", 4097)), `"type":"string_too_long","loc":["body","api_secret"]`},
		{"a key with a line feed", with("api_key", "Canary\nX-Evil: 1"), `"type":"string_pattern_mismatch","loc":["body","api_key"]`},
		{"a passphrase with a line feed", with("api_passphrase", "Canary\n"), `"type":"string_pattern_mismatch","loc":["body","api_passphrase"]`},
		{"NUL in a key", with("api_key", "Canary\x00"), `"loc":["body","api_key"]`},
		{"NUL in a secret", with("api_secret", "Canary\x00"), `"type":"value_error","loc":["body","api_secret"]`},
		{"NUL in a label", with("label", "Canary\x00"), `"type":"value_error","loc":["body","label"]`},
		{"a number for a key", with("api_key", 4242), `"type":"string_type","loc":["body","api_key"]`},
		{"an empty label", with("label", ""), `"type":"string_too_short","loc":["body","label"]`},
		{"a long label", with("label", strings.Repeat("x", 101)), `"type":"string_too_long","loc":["body","label"]`},
		{"a text for a boolean", with("is_testnet", "canary"), `"type":"bool_parsing","loc":["body","is_testnet"]`},
		{"permissions that are no list", with("permissions", "canary"), `"type":"list_type","loc":["body","permissions"]`},
		{"a permission twice", with("permissions", []string{"canary", "canary"}), `"loc":["body","permissions"]`},
		{"a permission with a space", with("permissions", []string{"canary x"}), `"type":"string_pattern_mismatch","loc":["body","permissions","0"]`},
		{"21 permissions", with("permissions", strings.Split("abcdefghijklmnopqrstu", "")), `"type":"too_long","loc":["body","permissions"]`},
	} {
		a := b.ask(http.MethodPost, keysPath, c.form)
		if a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, c.want) || strings.Contains(strings.ToLower(a.Body), "canary") {
			t.Errorf("%s: got %d %s", c.name, a.Status, a.Body)
		}
	}
	a := b.want(b.ask(http.MethodPost, keysPath, with("api_key", strings.Repeat("k", 64<<10))), http.StatusRequestEntityTooLarge)
	if a.body["detail"] != "Request body too large" {
		t.Errorf("got %s", a.Body)
	}
	if n := one[int](b.deployment, `select count(*) from exchange_keys`); n != 0 {
		t.Errorf("%d keys were stored", n)
	}

	b.stored(with("api_key", strings.Repeat("k", 1024), "api_secret", strings.Repeat("Ω", 4000), "label", strings.Repeat("Ω", 100)))
	key := b.listed(b.stored(with("exchange", "okx", "api_passphrase", " Canary phrase ", "label", "Main", "is_testnet", true, "permissions", []string{"read", "trade:spot"})))
	if key["exchange"] != "okx" || key["label"] != "Main" || key["is_testnet"] != true || fmt.Sprint(key["permissions"]) != "[read trade:spot]" || key["api_key_masked"] != "Cana…ey-1" {
		t.Errorf("got %v", key)
	}
	if key := b.listed(b.stored(with("api_key", "Canary-key"))); key["api_key_masked"] != "…" {
		t.Errorf("a key of ten characters: %v", key)
	}
}

func TestChangeAnExchangeKey(t *testing.T) {
	t.Parallel()
	b := newService(t).bearer()
	path := b.stored(map[string]any{"exchange": "okx", "api_key": "first-api-key", "api_secret": "first-secret", "api_passphrase": "first-phrase", "label": "Main"})
	b.exec(`update exchange_keys set is_valid = true, last_tested_at = now()`)
	change := func(form any, status int) answer {
		t.Helper()
		return b.want(b.ask(http.MethodPatch, path, form), status)
	}
	for _, c := range []struct {
		form map[string]any
		want string
	}{
		{map[string]any{}, "Main false [] true first-api-key first-secret first-phrase"},
		{map[string]any{"label": nil}, "<nil> false [] true first-api-key first-secret first-phrase"},
		{map[string]any{"label": "Other", "permissions": []string{"read"}}, "Other false [read] true first-api-key first-secret first-phrase"},
		{map[string]any{"is_testnet": false, "permissions": []string{}}, "Other false [] true first-api-key first-secret first-phrase"},
		{map[string]any{"is_testnet": true}, "Other true [] <nil> first-api-key first-secret first-phrase"},
		{map[string]any{"api_secret": "second-secret"}, "Other true [] <nil> first-api-key second-secret first-phrase"},
		{map[string]any{"api_key": "second-api-key"}, "Other true [] <nil> second-api-key second-secret first-phrase"},
		{map[string]any{"api_passphrase": "second-phrase"}, "Other true [] <nil> second-api-key second-secret second-phrase"},
	} {
		shown := change(c.form, http.StatusOK).body["data"].(map[string]any)
		if listed := b.listed(path); fmt.Sprint(listed) != fmt.Sprint(shown) {
			t.Errorf("%v: answered %v, listed %v", c.form, shown, listed)
		}
		data := b.want(b.ask(http.MethodPost, path+"/decrypt", nil), http.StatusOK).body["data"].(map[string]any)
		got := fmt.Sprint(shown["label"], " ", shown["is_testnet"], " ", shown["permissions"], " ", shown["is_valid"], " ", data["api_key"], " ", data["secret"], " ", data["passphrase"])
		if got != c.want {
			t.Errorf("%v: got %s, want %s", c.form, got, c.want)
		}
		if key := data["api_key"].(string); shown["api_key_masked"] != key[:4]+"…"+key[len(key)-4:] {
			t.Errorf("masked %v", shown["api_key_masked"])
		}
	}
	const trail = `select count(*) from audit where action = 'exchange_key.changed' and details->>'exchange' = 'okx'`
	if n := one[int](b.deployment, trail); n != 7 {
		t.Errorf("%d audit rows of changes, want 7", n)
	}
	stored := one[string](b.deployment, `select k::text from exchange_keys k`)
	for want, form := range map[string]any{
		`"loc":["body","api_passphrase"],"msg":"Value error, This exchange needs`: map[string]any{"api_passphrase": nil, "label": "lost"},
		`"type":"string_type","loc":["body","api_key"]`:                           map[string]any{"api_key": nil},
		`"loc":["body","api_secret"]`:                                             map[string]any{"api_secret": "Canary\x00"},
		`"type":"bool_type","loc":["body","is_testnet"]`:                          map[string]any{"is_testnet": nil},
		`"type":"list_type","loc":["body","permissions"]`:                         map[string]any{"permissions": nil},
		`"type":"missing","loc":["body"]`:                                         "",
		`"type":"json_invalid"`:                                                   `{`,
	} {
		if a := change(form, http.StatusUnprocessableEntity); !strings.Contains(a.Body, want) {
			t.Errorf("%v: got %s", form, a.Body)
		}
	}
	change(map[string]any{"api_key": strings.Repeat("k", 64<<10)}, http.StatusRequestEntityTooLarge)
	if now := one[string](b.deployment, `select k::text from exchange_keys k`); now != stored {
		t.Errorf("a refused change changed the key:\n%s\n%s", stored, now)
	}
	// The passphrase of an exchange that needs none can be removed.
	path = b.stored(map[string]any{"exchange": "bybit", "api_key": "third-api-key", "api_secret": "third-secret", "api_passphrase": "third-phrase"})
	change(map[string]any{"api_passphrase": nil}, http.StatusOK)
	if data := b.ask(http.MethodPost, path+"/decrypt", nil).body["data"].(map[string]any); len(data) != 2 {
		t.Errorf("got %v", data)
	}
}

func TestAUserHasAtMost100Keys(t *testing.T) {
	t.Parallel()
	s := newService(t)
	b, other := s.bearer(), s.bearer()
	path := b.stored(sandboxKey())
	const copies = `
		insert into exchange_keys (id, user_id, exchange, masked_key, is_testnet, permissions, credentials_sealed)
		select gen_random_uuid(), user_id, exchange, masked_key, is_testnet, permissions, credentials_sealed from exchange_keys, generate_series(1, $1)`
	b.exec(copies, exchange.MaxKeys-5-1)
	replicas := []bearer{b, {s.replica(oldKey), b.access}}
	statuses, mu := map[int]int{}, sync.Mutex{}
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			a := replicas[i%2].ask(http.MethodPost, keysPath, sandboxKey())
			mu.Lock()
			defer mu.Unlock()
			statuses[a.Status]++
		})
	}
	wait.Wait()
	if fmt.Sprint(statuses) != "map[200:5 409:15]" {
		t.Errorf("got %v", statuses)
	}
	if n := one[int](s.deployment, `select count(*) from exchange_keys`); n != exchange.MaxKeys {
		t.Errorf("%d keys", n)
	}
	if n := len(b.ask(http.MethodGet, keysPath, nil).body["data"].([]any)); n != exchange.MaxKeys {
		t.Errorf("%d keys are listed", n)
	}
	other.stored(sandboxKey())
	b.want(b.ask(http.MethodDelete, path, nil), http.StatusOK)
	b.stored(sandboxKey())
}
