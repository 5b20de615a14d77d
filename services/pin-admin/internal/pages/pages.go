// Package pages serves the pages that Countersign's links open: /approve, on which a person decides about an approval, and /enrol,
// on which a person chooses a PIN. Each page is one HTML file without data that loads nothing else. The link's token is in the URL's
// fragment, which browsers do not send. The page sends it only after the person pressed a button, so a scanner that opens a link
// uses nothing up.
package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"
)

//go:embed static
var static embed.FS

// scripts are the files of each page's script, in their order. They become one script, because the pages load no files.
var scripts = map[string][]string{
	"approve": {"element.js", "request.js", "working.js", "link.js", "keypad.js", "time.js", "view.js", "outcome.js", "approve.js"},
	"enrol":   {"element.js", "request.js", "working.js", "link.js", "keypad.js", "time.js", "outcome.js", "enrol.js"},
}

// All returns the handlers of the pages, by path.
func All() (map[string]http.Handler, error) {
	layout, err := template.ParseFS(static, "static/*.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the pages: %w", err)
	}
	style, err := join("page.css")
	if err != nil {
		return nil, err
	}
	handlers := map[string]http.Handler{}
	for name, files := range scripts {
		script, err := join(files...)
		if err != nil {
			return nil, err
		}
		var page bytes.Buffer
		err = layout.ExecuteTemplate(&page, name+".html", map[string]any{"Style": template.CSS(style), "Script": template.JS(script)})
		if err != nil {
			return nil, fmt.Errorf("rendering the page %s: %w", name, err)
		}
		handlers["/"+name] = serve(page.Bytes(), policy(style, script))
	}
	return handlers, nil
}

func join(files ...string) (string, error) {
	var all strings.Builder
	for _, name := range files {
		content, err := static.ReadFile("static/" + name)
		if err != nil {
			return "", fmt.Errorf("reading a file of the pages: %w", err)
		}
		all.Write(content)
	}
	return all.String(), nil
}

// policy returns the Content-Security-Policy: only the page's own style and script, requests only to its own origin, no frame
// around the page, and no HTML made from text.
func policy(style, script string) string {
	return strings.Join([]string{
		"default-src 'none'", "script-src " + hash(script), "style-src " + hash(style), "connect-src 'self'",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
	}, "; ")
}

func hash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// unusedFeatures switches off what the pages never need, so that a fault in them cannot ask for it.
const unusedFeatures = "accelerometer=(), camera=(), clipboard-read=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), " +
	"microphone=(), midi=(), payment=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), usb=(), xr-spatial-tracking=()"

func serve(page []byte, policy string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Permissions-Policy", unusedFeatures)
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page) // it fails only when the client has disconnected
	})
}
