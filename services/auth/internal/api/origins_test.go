package api_test

import (
	"net/http"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

const console = "https://admin.example.test"

func TestOnlyAllowedOriginsMayCallFromABrowser(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.settings.AllowedOrigins = []string{"https://other.example.test", console}
	s = s.replica(oldKey)
	preflight := map[string]string{"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
	for _, rule := range []struct {
		name, method, path, origin string
		header                     map[string]string
		status                     int
		allowed                    bool
	}{
		{"a preflight", "OPTIONS", "/auth/login", console, preflight, http.StatusNoContent, true},
		{"a preflight with a slash", "OPTIONS", "/auth/login/", console, preflight, http.StatusNoContent, true},
		{"a preflight of another origin", "OPTIONS", "/auth/login", "https://evil.example.test", preflight, http.StatusMethodNotAllowed, false},
		{"a preflight of a longer host name", "OPTIONS", "/auth/login", console + ".evil.test", preflight, http.StatusMethodNotAllowed, false},
		{"a preflight of another scheme", "OPTIONS", "/auth/login", "http://admin.example.test", preflight, http.StatusMethodNotAllowed, false},
		{"a preflight of the origin null", "OPTIONS", "/auth/login", "null", preflight, http.StatusMethodNotAllowed, false},
		{"a preflight of an unknown path", "OPTIONS", "/auth/nothing", console, preflight, http.StatusNotFound, true},
		{"OPTIONS without the preflight headers", "OPTIONS", "/auth/login", console, nil, http.StatusMethodNotAllowed, true},
		{"a request", "GET", "/.well-known/jwks.json", console, nil, http.StatusOK, true},
		{"a request of another origin", "GET", "/.well-known/jwks.json", "https://evil.example.test", nil, http.StatusOK, false},
		{"a refused request", "POST", "/auth/login", console, nil, http.StatusUnprocessableEntity, true},
	} {
		t.Run(rule.name, func(t *testing.T) {
			header := map[string]string{"Origin": rule.origin}
			for name, value := range rule.header {
				header[name] = value
			}
			a := s.server.Do(webtest.Request{Method: rule.method, Path: rule.path, Header: header})
			allowedOrigin := ""
			if rule.allowed {
				allowedOrigin = rule.origin
			}
			if a.Status != rule.status || a.Header.Get("Access-Control-Allow-Origin") != allowedOrigin || a.Header.Get("Vary") != "Origin" {
				t.Errorf("%d %v", a.Status, a.Header)
			}
			if a.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("the answer allows cookies")
			}
			if rule.status == http.StatusNoContent &&
				(a.Header.Get("Access-Control-Allow-Methods") != "POST" || a.Header.Get("Access-Control-Allow-Headers") != "Authorization, Content-Type") {
				t.Errorf("%v", a.Header)
			}
		})
	}
}

func TestNoOriginIsAllowedByDefault(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for method, status := range map[string]int{"OPTIONS": http.StatusMethodNotAllowed, "POST": http.StatusUnprocessableEntity} {
		a := s.server.Do(webtest.Request{Method: method, Path: "/auth/login", Header: map[string]string{"Origin": console, "Access-Control-Request-Method": "POST"}})
		if a.Status != status || a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", method, a.Status, a.Header)
		}
	}
}
