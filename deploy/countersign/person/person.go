// Package person acts as the person whom an approval asks. It sends the requests that the page /approve sends: it opens the link,
// and it sends the decision.
package person

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/countersign/countersign/pkg/secret"
)

const (
	requestTime = 30 * time.Second // a verification may wait for Postgres before and after its charge
	maxAnswer   = 1 << 20          // bytes of one answer
)

// Link is the link of an approval: the server to ask, and the token.
type Link struct {
	server string
	token  secret.Text
}

// ParseLink parses a link. server is the URL to which the requests are sent; if it is empty, they go to the link's own server,
// which must use https, except on this machine. No error repeats the link.
func ParseLink(text, server string) (Link, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "/approve" || !strings.HasPrefix(u.Fragment, "cap_") {
		return Link{}, errors.New("the link must be a URL that ends in /approve#cap_…")
	}
	if server != "" {
		return Link{strings.TrimRight(server, "/"), secret.New(u.Fragment)}, nil
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return Link{}, errors.New("the link must use https, because a PIN is sent to its server")
	}
	return Link{u.Scheme + "://" + u.Host, secret.New(u.Fragment)}, nil
}

// View is what the person is asked to agree to. Its texts may come from the agent, so they can contain anything.
type View struct {
	Status       string  `json:"status"`
	Reason       *string `json:"reason"`
	Grants       string  `json:"grants"`
	InstanceName string  `json:"instance_name"`
	CustomerName *string `json:"customer_name"`
	Requester    *string `json:"requester"`
	Audience     *string `json:"audience"`
	Title        string  `json:"title"`
	SummaryParts []struct {
		Text  string   `json:"text"`
		Value *string  `json:"value"`
		Flags []string `json:"flags"`
	} `json:"summary_parts"`
	Arguments []struct {
		Path  string   `json:"path"`
		Value string   `json:"value"`
		Flags []string `json:"flags"`
	} `json:"arguments"`
	Note    *string `json:"note"`
	Session *struct {
		Skills  []string `json:"skills"` // null: every skill that needs a PIN session
		Minutes int      `json:"minutes"`
	} `json:"session"`
	ExpiresIn int `json:"expires_in"` // seconds
	TriesLeft int `json:"tries_left"`
	PIN       struct {
		State       string     `json:"state"`
		LockedUntil *time.Time `json:"locked_until"`
	} `json:"pin"`
	KnownBrowserRequired bool   `json:"known_browser_required"`
	Hash                 string `json:"view_hash"`
}

// Decision is the answer to a decision. A wrong PIN is an answer.
type Decision struct {
	Status         string     `json:"status"`
	Reason         *string    `json:"reason"`
	Error          *string    `json:"error"`
	RemainingTries *int       `json:"remaining_tries"`
	LockedUntil    *time.Time `json:"locked_until"`
}

// Open returns what the link asks.
func (l Link) Open(ctx context.Context) (v View, err error) {
	return v, l.post(ctx, "open", map[string]string{"token": l.token.Reveal()}, &v)
}

// Approve sends the person's PIN for exactly what the view shows.
func (l Link) Approve(ctx context.Context, v View, pin secret.Text) (d Decision, err error) {
	return d, l.post(ctx, "decide", map[string]string{"token": l.token.Reveal(), "view_hash": v.Hash, "decision": "approve", "pin": pin.Reveal()}, &d)
}

// Deny says no. It needs no PIN.
func (l Link) Deny(ctx context.Context, v View) (d Decision, err error) {
	return d, l.post(ctx, "decide", map[string]string{"token": l.token.Reveal(), "view_hash": v.Hash, "decision": "deny"}, &d)
}

// noRedirects keeps a PIN from being sent to another server.
var noRedirects = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// post sends one request. Its errors contain the URL, which has no secret, and the server's own text as printable text.
func (l Link) post(ctx context.Context, operation string, body map[string]string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	content, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding the request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.server+"/v1/approvals/"+operation, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := noRedirects.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	content, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return refused(resp, content)
	}
	if err := json.Unmarshal(content, answer); err != nil {
		return errors.New("the server's answer is not the answer of a Countersign server")
	}
	return nil
}

// refused returns the text of a refusal. Its detail is a text, or in a 422 a list of errors.
func refused(resp *http.Response, content []byte) error {
	var body struct {
		Detail json.RawMessage `json:"detail"`
	}
	var text string
	var issues []struct {
		Message string `json:"msg"`
	}
	switch {
	case json.Unmarshal(content, &body) != nil:
	case json.Unmarshal(body.Detail, &text) == nil:
	case json.Unmarshal(body.Detail, &issues) == nil && len(issues) > 0:
		text = issues[0].Message
	}
	if text == "" {
		text = "the server answered with status " + resp.Status
	}
	if seconds := resp.Header.Get("Retry-After"); seconds != "" {
		text += " (wait " + seconds + " s)"
	}
	return errors.New(Printable(text))
}
