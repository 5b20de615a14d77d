package console_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign/countersign/services/pin-admin/internal/console"
)

func get(t *testing.T, page http.Handler, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	if len(header) == 2 {
		request.Header.Set(header[0], header[1])
	}
	answer := httptest.NewRecorder()
	page.ServeHTTP(answer, request)
	return answer
}

func pages(t *testing.T) map[string]http.Handler {
	t.Helper()
	all, err := console.Pages("https://auth.example.test/base?\"><script>")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFilesHaveSecurityHeadersAndETags(t *testing.T) {
	for path, page := range pages(t) {
		answer := get(t, page)
		header := answer.Header()
		policy := header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self' https://auth.example.test;", "base-uri 'none'",
			"form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: %s is missing in %s", path, part, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Referrer-Policy") != "no-referrer" ||
			header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: wrong headers: %v", path, header)
		}
		if again := get(t, page, "If-None-Match", header.Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("%s, second request: %d", path, again.Code)
		}
	}
}

func TestPageHasNoInlineCodeAndNoMissingFile(t *testing.T) {
	all := pages(t)
	page := get(t, all["/console"]).Body.String()
	if regexp.MustCompile(`(?i)<style|\sstyle=|\son\w+=|<script>|<script[^>]*>[^<]`).MatchString(page) {
		t.Error("the page has inline code, or the URL of auth was not escaped")
	}
	if !strings.Contains(page, `content="https://auth.example.test/base`) {
		t.Error("the page does not contain the URL of auth")
	}
	for _, link := range regexp.MustCompile(`(?:src|href)="(/[^"]*)"`).FindAllStringSubmatch(page, -1) {
		if all[link[1]] == nil {
			t.Errorf("the file %s is missing", link[1])
		}
	}
	for path, script := range all {
		for _, imported := range regexp.MustCompile(`from '\.(/[^']*)'`).FindAllStringSubmatch(get(t, script).Body.String(), -1) {
			if all["/console"+imported[1]] == nil {
				t.Errorf("%s imports the missing file %s", path, imported[1])
			}
		}
	}
}

func TestInvalidAuthURLIsRefused(t *testing.T) {
	for _, url := range []string{"", "auth", "ftp://auth", "https://", "https://a;script-src *", "https://a b"} {
		if _, err := console.Pages(url); err == nil {
			t.Errorf("%q is accepted", url)
		}
	}
}
