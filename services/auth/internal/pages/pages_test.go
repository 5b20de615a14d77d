package pages_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign/countersign/services/auth/internal/pages"
)

func TestPagesAreSelfContainedAndProtected(t *testing.T) {
	t.Parallel()
	for path, endpoints := range map[string][]string{
		"/verify-email":      {"auth/verify-email", "auth/resend-verification"},
		"/confirm-new-email": {"auth/confirm-new-email"},
		"/reset-password":    {"auth/reset-password", "auth/forgot-password"},
	} {
		answer := httptest.NewRecorder()
		pages.All()[path].ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
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
		if strings.Contains(policy, "unsafe") || header.Get("Referrer-Policy") != "no-referrer" || header.Get("Cache-Control") != "no-store" ||
			header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: wrong headers: %v", path, header)
		}
		if external := regexp.MustCompile(`(?i)https?://|\ssrc=|\sstyle=|\son[a-z]+=|@import|url\(`).FindString(page); external != "" {
			t.Errorf("%s: external or inline %q", path, external)
		}
		for _, endpoint := range endpoints {
			if !strings.Contains(page, `data-endpoint="`+endpoint+`"`) {
				t.Errorf("%s: the endpoint %s is missing", path, endpoint)
			}
		}
		for _, field := range regexp.MustCompile(`<input id="([a-z]+)"`).FindAllStringSubmatch(page, -1) {
			if !strings.Contains(page, `<label for="`+field[1]+`">`) {
				t.Errorf("%s: %s has no label", path, field[1])
			}
		}
	}
}
