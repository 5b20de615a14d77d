// Package pages serves the pages that links in mails open: they confirm an email address, change it, or set a new password.
// Each page is one HTML file that loads nothing else. Opening a page changes nothing, so a mail scanner that opens the link
// does not use the link: the token is in the URL's fragment, which is not sent to the server, and the page sends the token only
// when the user presses the button.
package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
)

//go:embed static
var static embed.FS

// page is the content of one page.
type page struct {
	Title, Text, Button string
	// Endpoint receives the token, and also the new password if Password is true.
	Endpoint string
	Password bool
	// Signups means that the page asks for a password when the endpoint answers 409: there was more than one signup.
	Signups bool
	// MailEndpoint sends a new mail. Empty: only a signed-in user can request the mail.
	MailEndpoint string
}

var contents = map[string]page{
	"/verify-email": {
		Title: "Confirm your email address", Button: "Confirm",
		Text:     "If you signed up with this address, confirm it here. If you did not sign up, close this page. The address is then not confirmed.",
		Endpoint: "auth/verify-email", MailEndpoint: "auth/resend-verification", Signups: true,
	},
	"/confirm-new-email": {
		Title: "Confirm your new email address", Button: "Change the address",
		Text:     "Your account gets this address. All your sessions end. If you did not ask for this, close this page. Nothing changes then.",
		Endpoint: "auth/confirm-new-email",
	},
	"/reset-password": {
		Title: "Choose a new password", Button: "Set the password",
		Text:     "The new password replaces the old password. All your sessions end.",
		Endpoint: "auth/reset-password", Password: true, MailEndpoint: "auth/forgot-password",
	},
}

var layout = template.Must(template.ParseFS(static, "static/page.html"))

// All returns the handlers of the pages, by path.
func All() map[string]http.Handler {
	handlers := map[string]http.Handler{}
	for path, p := range contents {
		handlers[path] = p.handler()
	}
	return handlers
}

func (p page) handler() http.Handler {
	style, script := file("page.css"), file("page.js")
	var text bytes.Buffer
	err := layout.Execute(&text, map[string]any{"Page": p, "Style": template.CSS(style), "Script": template.JS(script)})
	policy := strings.Join([]string{
		"default-src 'none'", "script-src " + source(script), "style-src " + source(style), "connect-src 'self'",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
	}, "; ")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err != nil {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		_, _ = w.Write(text.Bytes()) // it fails only when the client has disconnected
	})
}

// file returns the content of an embedded file.
func file(name string) string {
	content, _ := static.ReadFile("static/" + name) // the file exists: it is embedded at compile time
	return string(content)
}

// source returns the Content-Security-Policy source for an inline script or style: its hash. The browser refuses
// every other script and style.
func source(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
