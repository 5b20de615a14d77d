package browser

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/pquerna/otp/totp"
)

func TestSignInAndOut(t *testing.T) {
	p := newPage(t)
	p.do(chromedp.Navigate(stack.PinAdminURL + "/console"))
	p.screenshot("sign-in")

	p.fill("Email address", stack.AdminEmail)
	p.fill("Password", "not the password")
	p.press("Sign in")
	p.until("a message about the password", `/password/i.test(document.querySelector('[role=alert]:not([hidden])')?.innerText)`)
	if value[string](p, `document.querySelector('input[type=password]').value`) != "" {
		t.Error("the field still contains the wrong password")
	}

	p.fill("Email address", "nobody")
	p.press("Sign in")
	p.until("the address to be marked as invalid", `document.querySelector('input[type=email]').matches('[aria-invalid=true]:focus')`)

	p.fill("Email address", stack.CustomerEmail)
	p.fill("Password", stack.CustomerPassword)
	p.press("Sign in")
	p.see("Only admins can use the console.")
	if value[int](p, `sessionStorage.length`) != 0 {
		t.Error("a user who is not an admin stays signed in")
	}

	p.fill("Email address", stack.AdminEmail)
	p.fill("Password", stack.AdminPassword)
	p.press("Sign in")
	p.heading("Customers")
	p.see(stack.AdminEmail)

	p.open("#/api-keys", "API keys")
	p.do(chromedp.Reload())
	p.heading("API keys") // still signed in, on the same page

	p.press("Sign out")
	p.heading("Sign in")
	if value[int](p, `sessionStorage.length + localStorage.length + document.cookie.length`) != 0 {
		t.Error("the browser still stores a part of the session")
	}
	if !expired(t, p) {
		t.Error("the session is still valid")
	}
}

func TestSignInWithSecondFactor(t *testing.T) {
	const email, password = "second.factor@example.com", "a password that is long"
	do := func(path, access string, body any) map[string]any {
		t.Helper()
		status, answer := request(t, "POST", stack.AuthURL+path, body, "Authorization: Bearer "+access)
		if status != http.StatusOK {
			t.Fatalf("%s answered %d %v", path, status, answer)
		}
		return answer
	}
	do("/auth/signup", "", map[string]any{"email": email, "password": password})
	execute(t, `update users set role = 'admin', email_confirmed_at = now() where email = $1`, email)
	access := func() string { // a new token each time, because tokens expire soon
		return do("/auth/login", "", map[string]any{"email": email, "password": password})["session"].(map[string]any)["access_token"].(string)
	}
	code, err := totp.GenerateCode(do("/auth/mfa/totp", access(), nil)["secret"].(string), time.Now())
	must(t, err)
	recovery := do("/auth/mfa/totp/confirm", access(), map[string]any{"code": code})["recovery_codes"].([]any)

	p := newPage(t)
	p.do(chromedp.Navigate(stack.PinAdminURL + "/console"))
	signIn := func() {
		t.Helper()
		p.fill("Email address", email)
		p.fill("Password", password)
		p.press("Sign in")
		p.heading("Second factor")
	}
	signIn()
	p.until("the code's field to have the focus", `document.activeElement?.autocomplete === 'one-time-code'`)
	p.screenshot("second-factor")
	p.fill("Code", "12345")
	p.press("Sign in")
	p.until("the code to be marked as invalid", `document.querySelector('input').matches('[aria-invalid=true]:focus')`)
	p.fill("Code", "0000-0000-0000-0000")
	p.press("Sign in")
	p.see("The code is wrong")
	p.press("Cancel")
	p.heading("Sign in")
	if value[int](p, `sessionStorage.length`) != 0 {
		t.Error("the browser stores an unfinished sign-in")
	}
	signIn()
	p.fill("Code", recovery[0].(string))
	p.key(kb.Enter)
	p.heading("Customers")
	p.see(email)
}

// expired reports whether the page's last access token is refused.
func expired(t *testing.T, p *page) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	status, _ := request(t, "GET", stack.PinAdminURL+"/v1/me/pin", nil, "Authorization: "+p.bearer)
	return status == http.StatusUnauthorized
}

func TestExpiredTokenIsRenewed(t *testing.T) {
	p := newPage(t)
	p.signIn()
	for !expired(t, p) {
		time.Sleep(50 * time.Millisecond)
	}
	p.open("#/instances", "Instances")
	p.see("Demo agent")

	// After the session was revoked, the console cannot renew the token.
	execute(t, `update user_sessions set revoked_at = now(), revoked_why = 'admin' where revoked_at is null`)
	p.open("#/api-keys", "Sign in")
	p.see("The session has ended.")
}

func TestKeyboardOnly(t *testing.T) {
	p := newPage(t)
	p.do(chromedp.Navigate(stack.PinAdminURL + "/console"))
	p.until("the first field to have the focus", `document.activeElement?.type === 'email'`)
	p.key(stack.AdminEmail, kb.Tab, stack.AdminPassword, kb.Enter)
	p.heading("Customers")
	p.until("the heading to have the focus", `document.activeElement?.tagName === 'H1'`)

	p.key(kb.Tab)
	p.until("the button to have the focus", `document.activeElement?.innerText === 'New customer'`)
	if outline := value[string](p, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("the focus is not visible: outline-style %s", outline)
	}
	p.key(kb.Enter)
	p.until("the dialog's field to have the focus", `document.activeElement?.closest('dialog') && document.activeElement.type === 'email'`)
	p.key(kb.Escape)
	p.until("the button to have the focus again", `!document.querySelector('dialog') && document.activeElement?.innerText === 'New customer'`)
}

// The console sends requests only to its own origin and to auth. No URL contains the password.
func TestConsoleRequestsOnlyItsOrigins(t *testing.T) {
	p := newPage(t)
	p.signIn()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, request := range p.requests {
		_, url, _ := strings.Cut(request, " ")
		if !strings.HasPrefix(url, stack.PinAdminURL+"/") && !strings.HasPrefix(url, stack.AuthURL+"/auth/") || strings.Contains(url, stack.AdminPassword) {
			t.Errorf("the console sent the request %s", request)
		}
	}
}

// A console at an origin that is not in auth's ALLOWED_ORIGINS cannot sign in.
func TestSignInFromAnUnknownOriginFails(t *testing.T) {
	p := newPage(t)
	p.allowedError = "blocked by CORS policy"
	p.do(chromedp.Navigate(strings.Replace(stack.PinAdminURL, "127.0.0.1", "localhost", 1) + "/console"))
	p.fill("Email address", stack.AdminEmail)
	p.fill("Password", stack.AdminPassword)
	p.press("Sign in")
	p.see(stack.AuthURL + " cannot be reached from this page.")
}
