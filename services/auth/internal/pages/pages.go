// Package pages has the two pages to which links in mails lead: one confirms an address, the other takes a new password.
// A page is one file that needs nothing else. Opening it changes nothing: a mail scanner that looks at the link finds the
// token not even in its request, for that stands in the fragment, and what a link does is done by a button.
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

// page is what differs between the two.
type page struct {
	Title, Text, Button string
	// Endpoint is asked with the token; Password says that a password goes with it.
	Endpoint string
	Password bool
	// Again is where another mail is asked for.
	Again string
}

var all = map[string]page{
	"/verify-email": {
		Title: "Confirm your email address", Button: "Confirm",
		Text:     "If you have just signed up with this address, confirm it here. If you have not, close this page: nothing comes of it.",
		Endpoint: "auth/verify-email", Again: "auth/resend-verification",
	},
	"/reset-password": {
		Title: "Choose a new password", Button: "Set the password",
		Text:     "The new password replaces the old one, and ends every session that you have.",
		Endpoint: "auth/reset-password", Password: true, Again: "auth/forgot-password",
	},
}

var layout = template.Must(template.ParseFS(static, "static/page.html"))

// All returns the handler of each page's path.
func All() map[string]http.Handler {
	handlers := map[string]http.Handler{}
	for path, p := range all {
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
		_, _ = w.Write(text.Bytes()) // who hung up hears nothing
	})
}

// file returns an embedded file, which the compiler has found.
func file(name string) string {
	content, _ := static.ReadFile("static/" + name)
	return string(content)
}

// source names what stands inside of the page by its hash: nothing else runs in it, and it loads nothing.
func source(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
