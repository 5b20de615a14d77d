package api_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/countersign/countersign/services/auth/internal/exchange"
)

// test tests a key and returns the code and the stored is_valid.
func (b bearer) test(path string) (code string, isValid any) {
	b.t.Helper()
	a := b.want(b.ask(http.MethodPost, path+"/test-connection", nil), http.StatusOK)
	code, _ = a.JSON("data.code").(string)
	ok := code == "ok"
	if a.body["success"] != ok || a.JSON("data.ok") != ok || a.body["message"] == "" || a.body["message"] != a.JSON("data.message") {
		b.t.Errorf("got %s", a.Body)
	}
	return code, b.listed(path)["is_valid"]
}

func TestSandboxKeys(t *testing.T) {
	t.Parallel()
	b := newService(t).bearer()
	path := b.stored(sandboxKey())
	if key := b.listed(path); key["is_valid"] != nil || key["last_tested_at"] != nil || key["label"] != nil || key["is_testnet"] != false ||
		fmt.Sprint(key["permissions"]) != "[]" || key["api_key_masked"] != "sand…-key" {
		t.Errorf("got %v", key)
	}
	if code, valid := b.test(path); code != "ok" || valid != true || b.listed(path)["last_tested_at"] == nil {
		t.Errorf("%s, valid %v", code, valid)
	}
	b.want(b.ask(http.MethodPatch, path, map[string]any{"api_secret": "another-secret"}), http.StatusOK)
	if key := b.listed(path); key["is_valid"] != nil || key["last_tested_at"] != nil {
		t.Errorf("the key counts as tested with another secret: %v", key)
	}
	if code, valid := b.test(path); code != "invalid_credentials" || valid != false {
		t.Errorf("a wrong secret: %s, valid %v", code, valid)
	}
	b.want(b.ask(http.MethodPatch, path, map[string]any{"api_key": "another-key", "api_secret": "sandbox-secret"}), http.StatusOK)
	if code, valid := b.test(path); code != "invalid_credentials" || valid != false {
		t.Errorf("an unknown key: %s, valid %v", code, valid)
	}
	b.want(b.ask(http.MethodDelete, path, nil), http.StatusOK)
	if b.listed(path) != nil {
		t.Error("the deleted key is listed")
	}
	b.want(b.ask(http.MethodPost, path+"/test-connection", nil), http.StatusNotFound)
	const trail = `select string_agg(action || coalesce(' ' || (details->>'code'), ''), ', ' order by id) from audit
	                where action like 'exchange_key.%' and actor_kind = 'user' and '/api/v1/api-keys/' || target_id = $1`
	const want = "exchange_key.created, exchange_key.tested ok, exchange_key.changed, exchange_key.tested invalid_credentials, " +
		"exchange_key.changed, exchange_key.tested invalid_credentials, exchange_key.deleted"
	if got := one[string](b.deployment, trail, path); got != want {
		t.Errorf("audit rows: %s", got)
	}
}

func TestTestWithoutAResultKeepsThePreviousResult(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.sandbox = "http://127.0.0.1:1" // no server
	offline := bearer{s.replica(oldKey), s.bearer().access}
	b := bearer{s, offline.access}
	path := b.stored(sandboxKey())
	if code, valid := offline.test(path); code != "unreachable" || valid != nil || b.listed(path)["last_tested_at"] == nil {
		t.Errorf("%s, valid %v", code, valid)
	}
	b.test(path)
	if code, valid := offline.test(path); code != "unreachable" || valid != true {
		t.Errorf("%s, valid %v", code, valid)
	}
	kraken := b.stored(map[string]any{"exchange": "kraken", "api_key": "abcdefghijkl", "api_secret": "c2VjcmV0", "is_testnet": true})
	if code, valid := b.test(kraken); code != "unsupported_exchange" || valid != nil {
		t.Errorf("%s, valid %v", code, valid)
	}
}

func TestResultForReplacedCredentialsIsNotStored(t *testing.T) {
	t.Parallel()
	s := newService(t)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	s.sandbox = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-goOn
		exchange.Sandbox().ServeHTTP(w, r)
	}))
	b := bearer{s.replica(oldKey), s.bearer().access}
	path := b.stored(sandboxKey())
	during := func(status int, do func()) {
		t.Helper()
		var wait sync.WaitGroup
		wait.Go(func() { b.want(b.ask(http.MethodPost, path+"/test-connection", nil), status) })
		<-arrived
		do()
		goOn <- struct{}{}
		wait.Wait()
	}
	patched := func(form map[string]any) func() {
		return func() { b.want(b.ask(http.MethodPatch, path, form), http.StatusOK) }
	}
	during(http.StatusConflict, patched(map[string]any{"api_secret": "another-secret"}))
	if key := b.listed(path); key["is_valid"] != nil || key["last_tested_at"] != nil {
		t.Errorf("stored: %v", key)
	}
	during(http.StatusConflict, patched(map[string]any{"is_testnet": true}))
	during(http.StatusOK, patched(map[string]any{"label": "the same key"}))
	if key := b.listed(path); key["is_valid"] != false || key["label"] != "the same key" {
		t.Errorf("not stored: %v", key)
	}
	during(http.StatusConflict, func() { b.want(b.ask(http.MethodDelete, path, nil), http.StatusOK) })
}
