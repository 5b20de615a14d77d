package browser

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// link waits for a mail to an address with a link to this page of auth, and returns the link.
func link(t *testing.T, address, page string) string {
	t.Helper()
	pattern := regexp.MustCompile(regexp.QuoteMeta(stack.AuthURL+page) + `#token=\S+`)
	for end := time.Now().Add(waitTimeout); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
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
	t.Fatal("no mail arrived")
	return ""
}

// signInStatus returns the status of a sign-in.
func signInStatus(t *testing.T, address, password string) int {
	t.Helper()
	status, _ := request(t, "POST", stack.AuthURL+"/auth/login", map[string]any{"email": address, "password": password})
	return status
}

// A person signs up, and later forgets the password. Opening a link in a mail changes nothing; the button on its page does.
func TestMailLinks(t *testing.T) {
	const address, password = "newcomer@example.com", "an unusual password"
	if status, answer := request(t, "POST", stack.AuthURL+"/auth/signup", map[string]any{"email": address, "password": password}); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	confirm := link(t, address, "/verify-email")
	p := newPage(t)
	p.do(chromedp.Navigate(confirm))
	p.heading("Confirm your email address")
	p.screenshot("verify-email")
	p.until("the token to disappear from the address bar", `location.hash === '' && !document.body.innerHTML.includes('csl_')`)
	if status := signInStatus(t, address, password); status != http.StatusUnauthorized {
		t.Errorf("opening the link confirmed the address: %d", status)
	}
	p.press("Confirm")
	p.see("Your email address is confirmed")
	if status := signInStatus(t, address, password); status != http.StatusOK {
		t.Errorf("the address is confirmed, and the sign-in is refused: %d", status)
	}

	// The page says that a link is incomplete, and can send a new mail.
	p.do(chromedp.Navigate(stack.AuthURL + "/reset-password"))
	p.heading("Choose a new password")
	p.see("The link is incomplete")
	p.fill("Your email address", address)
	p.press("Send a new mail")
	p.see("a mail is on its way")

	const fresh = "another unusual password"
	// Open the link in the same tab. Only the fragment of the URL changes.
	p.do(chromedp.Evaluate[chromedp.Void](`void (location.href = ` + quoted(link(t, address, "/reset-password")) + `)`))
	p.fill("New password", "Password123")
	p.screenshot("reset-password")
	p.press("Set the password")
	p.see("too easy to guess")
	p.fill("New password", fresh)
	p.press("Set the password")
	p.see("The password is set")
	for text, want := range map[string]int{password: http.StatusUnauthorized, fresh: http.StatusOK} {
		if status := signInStatus(t, address, text); status != want {
			t.Errorf("the status is %d, want %d", status, want)
		}
	}
	for _, request := range p.requests {
		if strings.Contains(strings.SplitN(request, "#", 2)[0], "csl_") || !strings.Contains(request, stack.AuthURL) {
			t.Errorf("the page sent the request %s", request)
		}
	}
}

// After two signups with one address, the page that confirms it asks for a password.
func TestConfirmationAsksForAPasswordAfterTwoSignups(t *testing.T) {
	const address, password, strangers = "twice@example.com", "an unusual password", "a password of a stranger"
	for _, chosen := range []string{strangers, password} {
		if status, answer := request(t, "POST", stack.AuthURL+"/auth/signup", map[string]any{"email": address, "password": chosen}); status != http.StatusOK {
			t.Fatalf("%d %v", status, answer)
		}
	}
	p := newPage(t)
	p.do(chromedp.Navigate(link(t, address, "/verify-email")))
	p.heading("Confirm your email address")
	p.press("Confirm")
	p.see("There was more than one signup")
	p.screenshot("verify-email-password")
	p.fill("The password that you chose", "a wrong password")
	p.press("Confirm")
	p.see("This is not the password of a signup")
	p.fill("The password that you chose", password)
	p.press("Confirm")
	p.see("Your email address is confirmed")
	for text, want := range map[string]int{strangers: http.StatusUnauthorized, password: http.StatusOK} {
		if status := signInStatus(t, address, text); status != want {
			t.Errorf("the status is %d, want %d", status, want)
		}
	}
}

// A user changes the address: the link in the mail to the new address opens a page with a button.
func TestNewAddressIsConfirmedOnAPage(t *testing.T) {
	const old, address, password = "mover@example.com", "moved@example.com", "an unusual password"
	if status, answer := request(t, "POST", stack.AuthURL+"/auth/signup", map[string]any{"email": old, "password": password}); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	p := newPage(t)
	p.do(chromedp.Navigate(link(t, old, "/verify-email")))
	p.press("Confirm")
	p.see("Your email address is confirmed")
	status := http.StatusUnauthorized
	for try := 0; try < 5 && status == http.StatusUnauthorized; try++ { // access tokens expire after 2 seconds
		_, answer := request(t, "POST", stack.AuthURL+"/auth/login", map[string]any{"email": old, "password": password})
		session, _ := answer["session"].(map[string]any)
		status, _ = request(t, "POST", stack.AuthURL+"/auth/new-email", map[string]any{"email": address}, fmt.Sprint("Authorization: Bearer ", session["access_token"]))
	}
	if status != http.StatusOK {
		t.Fatalf("the request for a new address: %d", status)
	}
	p.do(chromedp.Navigate(link(t, address, "/confirm-new-email")))
	p.heading("Confirm your new email address")
	p.screenshot("confirm-new-email")
	p.press("Change the address")
	p.see("Your email address is changed")
	p.do(chromedp.Navigate(stack.AuthURL + "/confirm-new-email"))
	p.see("The link is incomplete. Open it from the mail again.")
	for text, want := range map[string]int{old: http.StatusUnauthorized, address: http.StatusOK} {
		if status := signInStatus(t, text, password); status != want {
			t.Errorf("%s: the status is %d, want %d", text, status, want)
		}
	}
}
