// Package proxy is the gate in front of an MCP server that is reached over streamable HTTP. Calls of tools go to the Judge. All other
// messages pass without a change of their bytes.
//
// There is one path, the path of the server's URL, so that no request can go around the gate.
package proxy

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/bearer"
	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// Settings of the proxy.
type Settings struct {
	// Upstream is the URL of the MCP server. Its query is sent with every request.
	Upstream *url.URL
	// AllowHosts are values of the header Host that are accepted: "name:port", or "name" with any port. The loopback names with the
	// port of the listener are always accepted.
	AllowHosts []string
	// AllowOrigins are values of the header Origin that are accepted, in addition to the pages of accepted hosts.
	AllowOrigins []string
	// MaxMessage is the greatest size of a client's message in bytes.
	MaxMessage int
	// BodyTime is how long a client may take to send a message. Zero means one minute.
	BodyTime time.Duration
	// PublicURL is the URL at which clients reach the gate, or nil. It is used only if Tokens is set.
	PublicURL *url.URL
	// Person is on whose behalf all clients act, if Tokens is nil.
	Person client.Person
	// Tokens verifies the access tokens of the clients.
	Tokens *bearer.Verifier
	// Sealer seals the ids of sessions.
	Sealer *hold.Sealer
	Log    *slog.Logger
	// Refused is called for each refused message; it may be nil.
	Refused func(*message.Refusal)
	// Tools is called with each response to tools/list; it may be nil.
	Tools func(response []byte)
}

// proxy is one gate. Its methods may be called from several goroutines.
type proxy struct {
	Settings
	judge     gate.Judge
	path      string
	purpose   string // of sealed session ids
	transport http.RoundTripper
	calls     calls
	load      load
}

// New returns the handler of the gate.
func New(s Settings, judge gate.Judge) (http.Handler, error) {
	u := s.Upstream
	if u == nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("the URL of the MCP server must be an http or https URL without a user and without a fragment")
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if s.BodyTime == 0 {
		s.BodyTime = time.Minute
	}
	return &proxy{
		Settings: s, judge: judge, path: path, purpose: sessionPurpose(s), transport: newTransport(), calls: calls{running: map[string]func(){}},
		load: load{maxBytes: maxLong * s.MaxMessage, subjects: map[string]int{}},
	}, nil
}

// exchange is what the gate knows about one request of a client.
type exchange struct {
	// subject is who sent the request. Sessions belong to it.
	subject string
	// token is true if subject comes from an access token, and not from the settings.
	token bool
	// session is the session of the request, and sealed is how the client names it. Both are empty without a session.
	session session
	sealed  string
}

func (p *proxy) ServeHTTP(connection http.ResponseWriter, r *http.Request) {
	w := patient{connection}
	defer w.extend() // the last part is sent afterwards
	if problem := p.foreign(r); problem != "" {
		p.fail(w, r, http.StatusForbidden, nil, message.CodeRefused, problem)
		return
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if p.metadata(w, r, path) {
		return
	}
	// The path must be equal byte for byte: the server could read another spelling as the same endpoint, or as another one.
	if path != p.path {
		p.fail(w, r, http.StatusNotFound, nil, message.CodeRefused, "the gate has no such path")
		return
	}
	if problem := ambiguous(r); problem != "" {
		p.fail(w, r, http.StatusBadRequest, nil, message.CodeInvalidRequest, problem)
		return
	}
	switch r.Method {
	case http.MethodOptions: // a browser sends it without a token
		p.withoutBody(w, r, exchange{})
	case http.MethodPost, http.MethodGet, http.MethodDelete:
		x, ok := p.identify(w, r)
		if !ok {
			return
		}
		leave, ok := p.load.begin(x.subject)
		if !ok {
			p.busy(w, r, "too many requests are in progress")
			return
		}
		defer leave()
		if r.Method == http.MethodPost {
			p.post(w, r, x)
		} else {
			p.withoutBody(w, r, x)
		}
	default:
		w.Header().Set("Allow", "GET, POST, DELETE, OPTIONS")
		p.fail(w, r, http.StatusMethodNotAllowed, nil, message.CodeRefused, "the gate does not pass this method")
	}
}

// identify finds out who sent a request, and its session. If it returns false, it has answered.
func (p *proxy) identify(w http.ResponseWriter, r *http.Request) (exchange, bool) {
	x := exchange{subject: "person " + p.Person.Customer + " " + p.Person.Identity}
	if p.Tokens != nil {
		subject, ok := p.subject(w, r)
		if !ok {
			return exchange{}, false
		}
		x = exchange{subject: "token " + subject, token: true}
	}
	sealed := r.Header.Get(sessionHeader)
	if sealed == "" {
		return x, true
	}
	session, err := p.open(x, sealed)
	switch {
	case err == nil:
		x.session, x.sealed = session, sealed
	case modern(r):
		// Since 2026-07-28 there are no sessions, and servers ignore the header. So it is not sent.
	default:
		p.fail(w, r, http.StatusNotFound, nil, message.CodeRefused, "there is no such session")
		return exchange{}, false
	}
	return x, true
}

// withoutBody passes a request that has no message. Some frameworks take a request with a body for a POST, if a header says so.
func (p *proxy) withoutBody(w http.ResponseWriter, r *http.Request, x exchange) {
	if r.ContentLength != 0 {
		p.fail(w, r, http.StatusBadRequest, nil, message.CodeInvalidRequest, "a request with this method must have no body")
		return
	}
	p.forward(w, r, passage{exchange: x})
}

// fail answers a request that is not passed. The body is a JSON-RPC error.
func (p *proxy) fail(w http.ResponseWriter, r *http.Request, status int, id []byte, code int, text string) {
	p.own(w, r, "application/json")
	w.WriteHeader(status)
	w.Write(message.Error(id, code, text))
}

// busy answers a request that would take too much memory.
func (p *proxy) busy(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Connection", "close") // the rest of the message is not read
	p.fail(w, r, http.StatusServiceUnavailable, nil, message.CodeRefused, text)
}

// refuse answers a message that is refused.
func (p *proxy) refuse(w http.ResponseWriter, r *http.Request, refusal *message.Refusal) {
	if p.Refused != nil {
		p.Refused(refusal)
	}
	p.Log.Warn("message refused", "code", refusal.Code, "reason", refusal.Reason)
	p.fail(w, r, http.StatusBadRequest, refusal.ID, refusal.Code, refusal.Reason)
}

// own sets the headers of an answer of the gate itself.
func (p *proxy) own(w http.ResponseWriter, r *http.Request, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if origin := r.Header.Get("Origin"); origin != "" && p.originListed(origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate")
		w.Header().Set("Vary", "Origin")
	}
}
