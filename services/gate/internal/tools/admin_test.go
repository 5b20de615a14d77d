package tools

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/client"
)

const instance = "7d9c1b52-6c1c-4f0e-8a53-5d1c2f3b4a01"

// pinAdmin is a double of pin-admin. It keeps skills by their path as it was sent.
type pinAdmin struct {
	skills map[string]string
	// answer answers instead, if it is not nil.
	answer http.HandlerFunc
}

func (a *pinAdmin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, found := strings.CutPrefix(r.URL.EscapedPath(), "/base/v1/instances/"+instance+"/skills/")
	name := strings.ToLower(path)
	switch {
	case a.answer != nil:
		a.answer(w, r)
	case r.Header.Get("X-Api-Key") != "csk_canary":
		w.WriteHeader(http.StatusUnauthorized)
	case !found || r.Method == http.MethodGet && a.skills[name] == "":
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodPut && r.Header.Get("Content-Type") == "application/json":
		body, _ := io.ReadAll(r.Body)
		if a.skills[name] == "" {
			w.WriteHeader(http.StatusCreated)
		}
		a.skills[name] = string(body)
	}
}

func newPINAdmin(t *testing.T) (*pinAdmin, *Admin) {
	d := &pinAdmin{skills: map[string]string{}}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL + "/base/")
	if err != nil {
		t.Fatal(err)
	}
	return d, NewAdmin(u, instance, client.NewSecret("csk_canary"))
}

func proposal(name string) Proposal {
	return Propose([]Tool{{Name: name, Title: "Title", InputSchema: json.RawMessage(`{"required":["a"]}`)}}, "")[0]
}

func TestStoreKeepsRegisteredSkills(t *testing.T) {
	t.Parallel()
	d, admin := newPINAdmin(t)
	for _, rule := range []struct {
		name              string
		overwrite, stored bool
	}{{"write", false, true}, {"write", false, false}, {"WRITE", false, false}, {"write", true, true}, {"new", true, true}} {
		if stored, err := admin.Store(t.Context(), proposal(rule.name), rule.overwrite); err != nil || stored != rule.stored {
			t.Errorf("%+v: %v, %v", rule, stored, err)
		}
	}
	if want := `{"mode":"approval","title":"Title","summary":"write: a {a}"}`; d.skills["write"] != want || len(d.skills) != 2 {
		t.Errorf("%+v, want %s", d.skills, want)
	}
}

func TestStoreEscapesNames(t *testing.T) {
	t.Parallel()
	d, admin := newPINAdmin(t)
	for name, path := range map[string]string{"a/../b": "a%2f..%2fb", "a?b#c": "a%3fb%23c", "50%": "50%25", "ü": "%c3%bc", "a b": "a%20b"} {
		if stored, err := admin.Store(t.Context(), proposal(name), false); err != nil || !stored || d.skills[path] == "" {
			t.Errorf("%s: %v, %v, %+v", name, stored, err, d.skills)
		}
	}
}

func TestAnswersOfPINAdmin(t *testing.T) {
	t.Parallel()
	status := func(method string, code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method {
				code := map[string]int{http.MethodGet: http.StatusNotFound}[r.Method]
				w.WriteHeader(code)
				return
			}
			w.Header().Set("Location", "http://canary.example/")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, rule := range map[string]struct {
		answer http.HandlerFunc
		want   string
		every  bool
	}{
		"a wrong key":       {status("GET", 401, `{}`), "check COUNTERSIGN_ADMIN_KEY", true},
		"a key that reads":  {status("PUT", 403, `{}`), "does not have the scope admin", true},
		"no such instance":  {status("PUT", 404, `{}`), "no such instance", true},
		"a refused field":   {status("PUT", 422, `{"detail":[{"loc":["body","summary"],"msg":"At character 3\u001b"}]}`), "refused the skill: At character 3⟨U+001B⟩", false},
		"a refused request": {status("PUT", 409, `{"detail":"Some text"}`), "refused the skill: Some text", false},
		"a page":            {status("PUT", 502, `<html>`), "HTTP status 502", false},
		"a redirect":        {status("GET", 302, ``), "HTTP status 302", false},
		"a redirect of PUT": {status("PUT", 307, ``), "HTTP status 307", false},
	} {
		d, admin := newPINAdmin(t)
		d.answer = rule.answer
		stored, err := admin.Store(t.Context(), proposal("write"), false)
		if stored || err == nil || !strings.Contains(err.Error(), rule.want) || errors.Is(err, ErrAll) != rule.every || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, %v, want %q", name, stored, err, rule.want)
		}
	}
	server := httptest.NewServer(nil)
	server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewAdmin(u, instance, client.NewSecret("csk_canary")).Store(t.Context(), proposal("write_canary"), false); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a server that does not run: %v", err)
	}
}
