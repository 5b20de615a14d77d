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

func TestSigningInAndOut(t *testing.T) {
	p := newPage(t)
	p.do(chromedp.Navigate(stack.PinAdminURL + "/console"))
	p.shot("sign-in")

	p.fill("Email address", stack.AdminEmail)
	p.fill("Password", "not the password")
	p.press("Sign in")
	p.until("a word about the password", `/password/i.test(document.querySelector('[role=alert]:not([hidden])')?.innerText)`)
	if value[string](p, `document.querySelector('input[type=password]').value`) != "" {
		t.Error("the wrong password stays in its field")
	}

	p.fill("Email address", "nobody")
	p.press("Sign in")
	p.until("a word at the address", `document.querySelector('input[type=email]').matches('[aria-invalid=true]:focus')`)

	p.fill("Email address", stack.CustomerEmail)
	p.fill("Password", stack.CustomerPassword)
	p.press("Sign in")
	p.see("Only admins can use the console.")
	if value[int](p, `sessionStorage.length`) != 0 {
		t.Error("somebody who may not be here stays signed in")
	}

	p.fill("Email address", stack.AdminEmail)
	p.fill("Password", stack.AdminPassword)
	p.press("Sign in")
	p.heading("Customers")
	p.see(stack.AdminEmail)

	p.open("#/api-keys", "API keys")
	p.do(chromedp.Reload())
	p.heading("API keys") // still signed in, and still there

	p.press("Sign out")
	p.heading("Sign in")
	if value[int](p, `sessionStorage.length + localStorage.length + document.cookie.length`) != 0 {
		t.Error("something of the session is left")
	}
	if !expired(t, p) {
		t.Error("the session lives on")
	}
}

func TestSigningInWithASecondFactor(t *testing.T) {
	const email, password = "second.factor@example.com", "a password that is long"
	do := func(path, access string, body any) map[string]any {
		t.Helper()
		status, answer := ask(t, "POST", stack.AuthURL+path, body, "Authorization: Bearer "+access)
		if status != http.StatusOK {
			t.Fatalf("%s answered %d %v", path, status, answer)
		}
		return answer
	}
	do("/auth/signup", "", map[string]any{"email": email, "password": password})
	execute(t, `update users set role = 'admin', email_confirmed_at = now() where email = $1`, email)
	access := func() string { // it expires soon
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
	p.shot("second-factor")
	p.fill("Code", "12345")
	p.press("Sign in")
	p.until("a word at the code", `document.querySelector('input').matches('[aria-invalid=true]:focus')`)
	p.fill("Code", "0000-0000-0000-0000")
	p.press("Sign in")
	p.see("The code is wrong")
	p.press("Cancel")
	p.heading("Sign in")
	if value[int](p, `sessionStorage.length`) != 0 {
		t.Error("half a sign-in is kept")
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
	status, _ := ask(t, "GET", stack.PinAdminURL+"/v1/me/pin", nil, "Authorization: "+p.bearer)
	return status == http.StatusUnauthorized
}

func TestAnExpiredTokenIsRenewed(t *testing.T) {
	p := newPage(t)
	p.signIn()
	for !expired(t, p) {
		time.Sleep(50 * time.Millisecond)
	}
	p.open("#/instances", "Instances")
	p.see("Demo agent")

	// Once the session has ended elsewhere, nothing can be renewed.
	execute(t, `update user_sessions set revoked_at = now(), revoked_why = 'admin' where revoked_at is null`)
	p.open("#/api-keys", "Sign in")
	p.see("The session has ended.")
}

func TestTheKeyboardIsEnough(t *testing.T) {
	p := newPage(t)
	p.do(chromedp.Navigate(stack.PinAdminURL + "/console"))
	p.until("the first field to have the focus", `document.activeElement?.type === 'email'`)
	p.key(stack.AdminEmail, kb.Tab, stack.AdminPassword, kb.Enter)
	p.heading("Customers")
	p.until("the heading to have the focus", `document.activeElement?.tagName === 'H1'`)

	p.key(kb.Tab)
	p.until("the button to have the focus", `document.activeElement?.innerText === 'New customer'`)
	if outline := value[string](p, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("the focus cannot be seen: %s", outline)
	}
	p.key(kb.Enter)
	p.until("the dialog's field to have the focus", `document.activeElement?.closest('dialog') && document.activeElement.type === 'email'`)
	p.key(kb.Escape)
	p.until("the button to have the focus again", `!document.querySelector('dialog') && document.activeElement?.innerText === 'New customer'`)
}

// Nothing that the console asks for goes to another origin than its own and auth's, and nothing that is typed into a
// password field is in an address.
func TestWhatTheConsoleAsksFor(t *testing.T) {
	p := newPage(t)
	p.signIn()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, asked := range p.asked {
		_, url, _ := strings.Cut(asked, " ")
		if !strings.HasPrefix(url, stack.PinAdminURL+"/") && !strings.HasPrefix(url, stack.AuthURL+"/auth/") || strings.Contains(url, stack.AdminPassword) {
			t.Errorf("it asked for %s", asked)
		}
	}
}

// A console at an address that auth has not been told of can sign nobody in.
func TestAnotherOriginSignsNobodyIn(t *testing.T) {
	p := newPage(t)
	p.expected = "blocked by CORS policy"
	p.do(chromedp.Navigate(strings.Replace(stack.PinAdminURL, "127.0.0.1", "localhost", 1) + "/console"))
	p.fill("Email address", stack.AdminEmail)
	p.fill("Password", stack.AdminPassword)
	p.press("Sign in")
	p.see(stack.AuthURL + " cannot be reached from this page.")
}
