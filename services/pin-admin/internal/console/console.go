// Package console serves the web console, in which admins manage customers, PINs, policies and keys. The console consists of
// static files without secrets. It uses only the public API, like every other client, and has no access to the database.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

//go:embed static
var static embed.FS

const index = "index.html"

// Pages returns the handlers of the console's files, by path. authURL is the URL of the service auth, where users sign in. The
// console sends requests only to its own origin and to authURL.
func Pages(authURL string) (map[string]http.Handler, error) {
	auth, err := url.Parse(authURL)
	if err != nil || auth.Host == "" || auth.Scheme != "http" && auth.Scheme != "https" || strings.ContainsAny(auth.Host, "; ,'") {
		return nil, errors.New("AUTH_ISSUER is not an http:// or https:// URL")
	}
	files, err := static.ReadDir("static")
	if err != nil {
		return nil, fmt.Errorf("reading the console files: %w", err)
	}
	pages := map[string]http.Handler{}
	for _, file := range files {
		content, err := static.ReadFile("static/" + file.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the console files: %w", err)
		}
		urlPath := "/console/" + file.Name()
		if file.Name() == index {
			urlPath = "/console"
			if content, err = render(content, authURL); err != nil {
				return nil, err
			}
		}
		pages[urlPath] = page(file.Name(), content, policy(auth.Scheme+"://"+auth.Host))
	}
	return pages, nil
}

func render(page []byte, authURL string) ([]byte, error) {
	t, err := template.New(index).Parse(string(page))
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", index, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, map[string]string{"AuthURL": authURL}); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", index, err)
	}
	return out.Bytes(), nil
}

// policy returns the Content-Security-Policy: only the console's own files, no inline scripts or styles, and no HTML made from
// text.
func policy(auth string) string {
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self' " + auth,
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
	}, "; ")
}

// contentTypes does not depend on the MIME table of the machine. Browsers run a script only with the right type.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func page(name string, content []byte, policy string) http.Handler {
	sum := sha256.Sum256(content)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	contentType := contentTypes[path.Ext(name)]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Content-Type", contentType)
		header.Set("Cache-Control", "no-cache") // the browser asks each time, and gets 304 if the file is unchanged
		header.Set("ETag", etag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}
