package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/countersign/countersign/services/gate/internal/message"
)

// passage is a request on its way to the server, and its response on the way back.
type passage struct {
	exchange
	// body is nil for a request without a message.
	body []byte
	// id is the id of the message if it is a request.
	id json.RawMessage
	// elicitation is what initialize said; it belongs to the session that the server may begin.
	elicitation bool
	// rewrite returns what the client gets instead of the response. Nil: the response passes without being read.
	rewrite func(response []byte) []byte
	// begun is true if the gate has begun an event stream. The response becomes an event.
	begun bool
}

// errRedirect stops a redirect of the server: the client would follow it around the gate.
var errRedirect = errors.New("the server answered with a redirect, which the gate does not pass")

// newTransport returns the transport to the server. A tool may run for a long time, so there is no limit for the answer.
func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   100,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true, // the bytes of the server are passed as they are
		ForceAttemptHTTP2:     true,
		ExpectContinueTimeout: time.Second,
	}
}

// forward sends a request to the server and copies the response. ReverseProxy passes each part of an event stream at once.
func (p *proxy) forward(w http.ResponseWriter, r *http.Request, pass passage) {
	(&httputil.ReverseProxy{
		Transport: p.transport,
		Rewrite:   func(out *httputil.ProxyRequest) { p.request(out.Out, pass) },
		ModifyResponse: func(response *http.Response) error {
			return p.response(response, pass)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { p.unreachable(w, r, pass, err) },
		ErrorLog:     slog.NewLogLogger(p.Log.Handler(), slog.LevelWarn),
	}).ServeHTTP(w, r)
}

// request makes the request to the server from a copy of the client's request.
func (p *proxy) request(out *http.Request, pass passage) {
	target := *p.Upstream
	target.Fragment = ""
	out.URL, out.Host = &target, ""
	for name := range out.Header {
		if removed(name) || pass.body == nil && aboutMessage(name) {
			delete(out.Header, name)
		}
	}
	out.Header.Del(sessionHeader)
	if pass.session.ID != "" {
		out.Header.Set(sessionHeader, pass.session.ID)
	}
	if pass.rewrite != nil || pass.begun {
		out.Header.Del("Accept-Encoding")
	}
	out.Body, out.ContentLength, out.GetBody = http.NoBody, 0, nil
	out.TransferEncoding, out.Trailer = nil, nil
	if pass.body == nil {
		return
	}
	body := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(pass.body)), nil }
	out.Body, _ = body()
	out.ContentLength = int64(len(pass.body))
	// With GetBody, the transport sends a request again if the server closed the connection before anything was written. With one of
	// these headers it would also do that after the server has read the request, and an approved call would run twice.
	if out.Header.Get("Idempotency-Key") == "" && out.Header.Get("X-Idempotency-Key") == "" {
		out.GetBody = body
	}
}

// response changes the server's response for the client.
func (p *proxy) response(response *http.Response, pass passage) error {
	if status := response.StatusCode; status >= 300 && status < 400 {
		return errRedirect
	}
	response.Header.Del("Alt-Svc") // it names another way to the server
	if err := p.sealSession(response.Header, pass); err != nil {
		return fmt.Errorf("sealing the id of the session: %w", err)
	}
	return rewrite(response, pass)
}

// unreachable answers a request whose response did not arrive or is not passed.
func (p *proxy) unreachable(w http.ResponseWriter, r *http.Request, pass passage, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // the client is gone
	}
	p.Log.Error("passing a request to the MCP server failed", "error", err)
	text := "the connection to the MCP server failed; the server may have read the request"
	var network *net.OpError
	switch {
	case errors.Is(err, errRedirect):
		text = err.Error()
	case errors.As(err, &network) && network.Op == "dial":
		text = "the MCP server cannot be reached"
	}
	if pass.begun {
		w.Write(event(message.Error(pass.id, message.CodeRefused, text)))
		return
	}
	p.fail(w, r, http.StatusBadGateway, pass.id, message.CodeRefused, text)
}
