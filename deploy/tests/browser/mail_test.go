package browser

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// link waits for a mail to an address that has a link to a page of auth, and returns the link.
func link(t *testing.T, address, page string) string {
	t.Helper()
	pattern := regexp.MustCompile(regexp.QuoteMeta(stack.AuthURL+page) + `#token=\S+`)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(stack.MailDir, "*.eml"))
		must(t, err)
		for _, file := range files {
			mail, err := os.ReadFile(file)
			must(t, err)
			if found := pattern.FindString(string(mail)); found != "" && strings.Contains(string(mail), "To: <"+address+">") {
				return found
			}
		}
	}
	t.Fatal("the mail did not come")
	return ""
}

func signInStatus(t *testing.T, address, password string) int {
	t.Helper()
	status, _ := ask(t, "POST", stack.AuthURL+"/auth/login", map[string]any{"email": address, "password": password})
	return status
}

// TestTheLinksInMails goes the ways of people who sign up and who forget: opening a link changes nothing, its button does.
func TestTheLinksInMails(t *testing.T) {
	const address, password = "newcomer@example.com", "an unusual password"
	if status, answer := ask(t, "POST", stack.AuthURL+"/auth/signup", map[string]any{"email": address, "password": password}); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	confirm := link(t, address, "/verify-email")
	p := newPage(t)
	p.do(chromedp.Navigate(confirm))
	p.heading("Confirm your email address")
	p.shot("verify-email")
	p.until("the token to leave the address", `location.hash === '' && !document.body.innerHTML.includes('csl_')`)
	if status := signInStatus(t, address, password); status != http.StatusUnauthorized {
		t.Errorf("opening the link confirms: %d", status)
	}
	p.press("Confirm")
	p.see("Your email address is confirmed")
	if status := signInStatus(t, address, password); status != http.StatusOK {
		t.Errorf("confirmed, and refused: %d", status)
	}

	// A link that was cut off is told so, and a new one is asked for in the same place.
	p.do(chromedp.Navigate(stack.AuthURL + "/reset-password"))
	p.heading("Choose a new password")
	p.see("The link is incomplete")
	p.fill("Your email address", address)
	p.press("Send a new mail")
	p.see("a mail is on its way")

	const fresh = "another unusual password"
	// In the same tab, where only the fragment changes.
	p.do(chromedp.Evaluate[chromedp.Void](`void (location.href = ` + quoted(link(t, address, "/reset-password")) + `)`))
	p.fill("New password", "Password123")
	p.shot("reset-password")
	p.press("Set the password")
	p.see("too easy to guess")
	p.fill("New password", fresh)
	p.press("Set the password")
	p.see("The password is set")
	for text, want := range map[string]int{password: http.StatusUnauthorized, fresh: http.StatusOK} {
		if status := signInStatus(t, address, text); status != want {
			t.Errorf("%d, want %d", status, want)
		}
	}
	for _, asked := range p.asked {
		if strings.Contains(strings.SplitN(asked, "#", 2)[0], "csl_") || !strings.Contains(asked, stack.AuthURL) {
			t.Errorf("asked %s", asked)
		}
	}
}
