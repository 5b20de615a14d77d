package pages_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/services/pin-admin/internal/pages"
)

func TestPagesAreSelfContainedAndProtected(t *testing.T) {
	t.Parallel()
	handlers, err := pages.All()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		"/approve": {"/v1/approvals/decide", "/v1/approvals/open"},
		"/enrol":   {"/v1/enrolments/complete", "/v1/enrolments/open"},
	} {
		answer := httptest.NewRecorder()
		handlers[path].ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		page, header := answer.Body.String(), answer.Header()
		policy := header.Get("Content-Security-Policy")
		for _, kind := range []string{"script", "style"} {
			inline := regexp.MustCompile(`(?s)<`+kind+`[^>]*>(.*?)</`+kind+`>`).FindAllStringSubmatch(page, -1)
			if len(inline) != 1 {
				t.Fatalf("%s: %d inline elements %s, want 1", path, len(inline), kind)
			}
			sum := sha256.Sum256([]byte(inline[0][1]))
			if want := kind + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(policy, want) {
				t.Errorf("%s: %s is missing in %s", path, want, policy)
			}
		}
		for _, part := range []string{"default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: %s is missing in %s", path, part, policy)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s", path, policy)
		}
		for name, want := range map[string]string{
			"X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer",
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8",
		} {
			if header.Get(name) != want {
				t.Errorf("%s: the header %s is %q, want %q", path, name, header.Get(name), want)
			}
		}
		if header.Get("Permissions-Policy") == "" || header.Get("Set-Cookie") != "" {
			t.Errorf("%s: wrong headers: %v", path, header)
		}
		withoutNamespace := strings.ReplaceAll(page, "'http://www.w3.org/2000/svg'", "")
		if external := regexp.MustCompile(`(?i)https?://|\ssrc=|\sstyle=|\son[a-z]+=|@import|url\(|innerHTML|<link`).FindString(withoutNamespace); external != "" {
			t.Errorf("%s: external or inline %q", path, external)
		}
		endpoints := regexp.MustCompile(`'(/v1/[a-z/]+)'`).FindAllStringSubmatch(page, -1)
		var got []string
		for _, endpoint := range endpoints {
			got = append(got, endpoint[1])
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s calls %v, want %v", path, got, want)
		}
		for _, field := range regexp.MustCompile(`<input id="([a-z]+)"`).FindAllStringSubmatch(page, -1) {
			if !strings.Contains(page, `<label for="`+field[1]+`">`) {
				t.Errorf("%s: %s has no label", path, field[1])
			}
		}
	}
}
