// Package console is the page on which people look after customers, PINs, policies and keys. It is a client of the
// public API like any other: static files, nothing in them that is secret, and no way to the database of its own.
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

// Pages returns the handler of each of the console's paths. authURL is where people sign in: the one other origin that
// the console may talk to.
func Pages(authURL string) (map[string]http.Handler, error) {
	auth, err := url.Parse(authURL)
	if err != nil || auth.Host == "" || auth.Scheme != "http" && auth.Scheme != "https" || strings.ContainsAny(auth.Host, "; ,'") {
		return nil, errors.New("AUTH_ISSUER is not an http:// or https:// URL")
	}
	files, err := static.ReadDir("static")
	if err != nil {
		return nil, fmt.Errorf("reading the console's files: %w", err)
	}
	pages := map[string]http.Handler{}
	for _, file := range files {
		content, err := static.ReadFile("static/" + file.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the console's files: %w", err)
		}
		at := "/console/" + file.Name()
		if file.Name() == index {
			at = "/console"
			if content, err = render(content, authURL); err != nil {
				return nil, err
			}
		}
		pages[at] = page(file.Name(), content, policy(auth.Scheme+"://"+auth.Host))
	}
	return pages, nil
}

func render(page []byte, authURL string) ([]byte, error) {
	t, err := template.New(index).Parse(string(page))
	if err != nil {
		return nil, fmt.Errorf("reading the console's page: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, map[string]string{"AuthURL": authURL}); err != nil {
		return nil, fmt.Errorf("making the console's page: %w", err)
	}
	return out.Bytes(), nil
}

// policy is the Content-Security-Policy: our own files and no others, nothing inline, no markup made of text.
func policy(auth string) string {
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self' " + auth,
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
	}, "; ")
}

// kinds are not left to the machine's own table: browsers take a script of no other type.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func page(name string, content []byte, policy string) http.Handler {
	sum := sha256.Sum256(content)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	kind := kinds[path.Ext(name)]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Content-Type", kind)
		header.Set("Cache-Control", "no-cache") // it is asked for each time, and answered 304
		header.Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}
