package bearer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// pauseAfterFailure is how long the issuer is not asked again after its discovery document could not be read.
	pauseAfterFailure = 5 * time.Second
	// keepDocument is how long a document of the issuer is used again. Tokens with unknown key ids, which everybody can write, must
	// not cause one request to the issuer each.
	keepDocument = 10 * time.Second
	// maxDocument is the greatest size of a document of the issuer.
	maxDocument = 1 << 20
)

// keySet returns the keys of the issuer. It searches them at the first use, so that the gate can start before the issuer.
func (v *Verifier) keySet(ctx context.Context) (oidc.KeySet, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys != nil {
		return v.keys, nil
	}
	if time.Since(v.failed) < pauseAfterFailure {
		return nil, v.failure
	}
	location, err := v.discover(ctx)
	if err != nil {
		if ctx.Err() == nil {
			v.failed, v.failure = time.Now(), err
		}
		return nil, err
	}
	v.keys = v.remote(location)
	return v.keys, nil
}

// discover returns the URL of the issuer's keys.
func (v *Verifier) discover(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, v.http), fetchTime)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, v.settings.Issuer)
	if err != nil {
		return "", fmt.Errorf("reading the issuer's discovery document: %w", err)
	}
	var document struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return "", fmt.Errorf("reading the issuer's discovery document: %w", err)
	}
	return document.JWKS, checkURL("JWKS", document.JWKS)
}

func (v *Verifier) remote(location string) oidc.KeySet {
	return oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), v.http), location)
}

// watchedKeys remembers whether a signature could not be verified because the keys could not be fetched. oidc.Verifier does not keep
// this difference.
type watchedKeys struct {
	oidc.KeySet
	unavailable bool
}

func (w *watchedKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := w.KeySet.VerifySignature(ctx, token)
	w.unavailable = err != nil && strings.HasPrefix(err.Error(), "fetching keys")
	return payload, err
}

// issuerClient returns a client for the issuer's documents.
func issuerClient(base *http.Client) *http.Client {
	var c http.Client
	if base != nil {
		c = *base
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	c.Transport = &documents{next: c.Transport, kept: map[string]document{}}
	c.Timeout = fetchTime
	// A redirect could lead to keys over a connection that is not protected.
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// documents fetches the documents of the issuer. It limits their size and keeps each for a short time.
type documents struct {
	next http.RoundTripper
	mu   sync.Mutex
	kept map[string]document // by URL; there are two
}

type document struct {
	header  http.Header
	content []byte
	until   time.Time
}

func (d *documents) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	kept, found := d.kept[r.URL.String()]
	d.mu.Unlock()
	if found && time.Now().Before(kept.until) {
		return kept.response(r), nil
	}
	answer, err := d.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the issuer answered with status %d", answer.StatusCode)
	}
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxDocument {
		return nil, errors.New("the document of the issuer is too long")
	}
	kept = document{answer.Header, content, time.Now().Add(keepDocument)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept[r.URL.String()] = kept
	return kept.response(r), nil
}

func (d document) response(r *http.Request) *http.Response {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: d.header,
		Body: io.NopCloser(bytes.NewReader(d.content)), ContentLength: int64(len(d.content)), Request: r,
	}
}
