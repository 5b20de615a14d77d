// Package client is for an agent runtime that asks Countersign before it runs a skill. Confirm is the only call that most programs
// need. Run a skill only if the call returns no error.
//
// A tool server that verifies receipts uses the package receipt instead.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// tries is how often a request is sent at most.
	tries = 6
	// firstPause is the pause before the second try if the answer has no Retry-After. Each further pause is twice as long.
	firstPause = 500 * time.Millisecond
	// longestPause is the longest Retry-After that the client waits for.
	longestPause = 30 * time.Second
	// requestTime limits one try, without the time that Wait asks the server to wait.
	requestTime = 30 * time.Second
	// longestPoll is how long one request of Wait waits. Many proxies end a request after 60 s.
	longestPoll     = 50 * time.Second
	maxAnswerBytes  = 1 << 20
	sessionHeader   = "X-Pin-Session"
	instancesPrefix = "/internal/v1/instances/"
)

// Config says which Countersign a Client uses.
type Config struct {
	// URL is the URL of pin-internal, such as http://pin-internal:8000.
	URL string
	// Instance is the id of the agent's instance.
	Instance string
	// ProxyKey is the proxy key of the instance. Never give it to the model.
	ProxyKey Secret
	// HTTP sends the requests; nil means a client with default settings. Every request has a deadline. No redirect is followed.
	HTTP *http.Client
}

// Client asks for approvals. Several goroutines may use it.
type Client struct {
	base     string
	proxyKey Secret
	http     *http.Client
	// pause waits before another try. Tests replace it.
	pause func(context.Context, time.Duration) error
}

// New returns a Client. It sends nothing.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the URL of Countersign must be an http or https URL without a query")
	}
	if c.Instance == "" || c.ProxyKey.Reveal() == "" {
		return nil, errors.New("the instance and the proxy key of Countersign must not be empty")
	}
	var httpClient http.Client
	if c.HTTP != nil {
		httpClient = *c.HTTP
	}
	// A redirect would send the arguments and the session token to another address.
	httpClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{
		base:     strings.TrimSuffix(c.URL, "/") + instancesPrefix + url.PathEscape(c.Instance),
		proxyKey: c.ProxyKey, http: &httpClient, pause: pause,
	}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// request is one request. path follows the path of the instance. Each request of this package gives the same result if it is sent
// again, and charges no attempt. So it may be repeated. A request that charges an attempt, such as verify, must never be repeated by a
// program; do not add it here.
type request struct {
	method, path string
	body         any
	session      Secret
	// wait is how long the server may wait before it answers.
	wait time.Duration
}

// send sends a request until Countersign gives an answer that decides, and reads the answer into target.
func (c *Client) send(ctx context.Context, r request, target any) error {
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return fmt.Errorf("asking countersign: %w", err)
		}
	}
	for try := 1; ; try++ {
		after, err := c.try(ctx, r, body, target)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("asking countersign: %w", ctx.Err())
		}
		if after == 0 {
			after = firstPause << (try - 1)
			after += rand.N(after / 4) // so that the clients do not come back at the same time
		}
		deadline, limited := ctx.Deadline()
		if try == tries || !repeatable(err) || after > longestPause || limited && time.Until(deadline) < after {
			return fmt.Errorf("asking countersign: %w", err)
		}
		if err := c.pause(ctx, after); err != nil {
			return fmt.Errorf("asking countersign: %w", err)
		}
	}
}

// errUnreadable means that something else than Countersign answered, for example the page of a proxy, or that the answer is too long.
var errUnreadable = errors.New("the answer is not the JSON that was expected")

// repeatable reports whether another try can have another result: there was no answer, or Countersign or a proxy is overloaded.
func repeatable(err error) bool {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal.Status == http.StatusTooManyRequests && refusal.RetryAfter > 0
	}
	var answered unavailable
	if errors.As(err, &answered) {
		return answered.status == http.StatusBadGateway || answered.status == http.StatusServiceUnavailable || answered.status == http.StatusGatewayTimeout
	}
	return !errors.Is(err, errUnreadable)
}

// try sends a request once. It also returns the answer's Retry-After.
func (c *Client) try(ctx context.Context, r request, body []byte, target any) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime+r.wait)
	defer cancel()
	out, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	out.Header.Set("Authorization", "Bearer "+c.proxyKey.Reveal())
	if r.body != nil {
		out.Header.Set("Content-Type", "application/json")
	}
	if session := r.session.Reveal(); session != "" {
		out.Header.Set(sessionHeader, session)
	}
	answer, err := c.http.Do(out)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes))
	if err != nil {
		return 0, err
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return retryAfter(answer.Header), readFailure(answer, content)
	}
	if target == nil {
		return 0, nil
	}
	if err := json.Unmarshal(content, target); err != nil {
		return 0, errUnreadable
	}
	return 0, nil
}

// withoutURL returns the cause of a failed request. The URL contains ids of people, and callers log the error.
func withoutURL(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
