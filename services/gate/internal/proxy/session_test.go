package proxy_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
	"github.com/countersign/countersign/services/gate/internal/proxy"
)

const (
	initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{"url":{}}}}}`
	upstreamID = "server-session-1"
)

// answerSession answers like a server with sessions: initialize begins one, and every answer names it.
func answerSession(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Mcp-Session-Id", upstreamID)
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodDelete {
		w.Header().Del("Mcp-Session-Id")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	io.WriteString(w, ok)
}

func begin(t *testing.T, url string) string {
	t.Helper()
	got := send(t, "POST", url+"/mcp", initialize)
	id := got.header.Get("Mcp-Session-Id")
	if got.status != 200 || id == "" || strings.Contains(id, upstreamID) {
		t.Fatalf("%+v", got)
	}
	return id
}

func TestSessionIsSealed(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerSession)
	g := start(t, s, &judge{}, nil)
	id := begin(t, g.URL)
	for _, method := range []string{"POST", "GET", "DELETE"} {
		body := ""
		if method == "POST" {
			body = ping
		}
		got := send(t, method, g.URL+"/mcp", body, "Mcp-Session-Id", id)
		if got.status >= 300 || s.last(t).header.Get("Mcp-Session-Id") != upstreamID {
			t.Errorf("%s: %+v, the server got %+v", method, got, s.last(t))
		}
		// The Go client ends a connection if the id changes.
		if back := got.header.Get("Mcp-Session-Id"); method != "DELETE" && back != id {
			t.Errorf("%s: the id changed to %q", method, back)
		}
	}
}

func TestSessionContinuesInAnotherReplica(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerSession)
	id := begin(t, start(t, s, &judge{}, nil).URL)
	other := start(t, s, &judge{}, nil)
	if got := send(t, "POST", other.URL+"/mcp", ping, "Mcp-Session-Id", id); got.status != 200 || s.last(t).header.Get("Mcp-Session-Id") != upstreamID {
		t.Errorf("%+v", got)
	}
}

func TestSessionOfAnotherPersonIsUnknown(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerSession)
	id := begin(t, start(t, s, &judge{}, nil).URL)
	person := func(p client.Person) func(*proxy.Settings) { return func(s *proxy.Settings) { s.Person = p } }
	changed, soon := []byte(id), time.Now().Add(time.Hour)
	changed[len(changed)/2] ^= 1
	for name, c := range map[string]struct {
		change func(*proxy.Settings)
		id     string
	}{
		"another customer":   {person(client.Person{Customer: "eve"}), id},
		"another identity":   {person(client.Person{Customer: "anna", Identity: "x"}), id},
		"another key":        {func(p *proxy.Settings) { p.Sealer = sealer(t, "csp_other") }, id},
		"the server's id":    {nil, upstreamID},
		"changed":            {nil, string(changed)},
		"cut":                {nil, id[:len(id)-1]},
		"longer":             {nil, id + "A"},
		"of another server":  {nil, sealed(t, "mcp session http://other.example/mcp", upstreamID, soon)},
		"in another purpose": {nil, sealed(t, "state", upstreamID, soon)},
		"too old":            {nil, sealed(t, "mcp session "+s.URL+"/mcp", upstreamID, time.Now().Add(-time.Minute))},
	} {
		g := start(t, s, &judge{}, c.change)
		before := len(s.requests())
		for _, method := range []string{"POST", "GET", "DELETE"} {
			body := ""
			if method == "POST" {
				body = ping
			}
			got := send(t, method, g.URL+"/mcp", body, "Mcp-Session-Id", c.id, "MCP-Protocol-Version", "2025-11-25")
			if got.status != 404 || len(s.requests()) != before {
				t.Errorf("%s, %s: %+v", name, method, got)
			}
		}
	}
}

// sealed returns what the gate seals for a session of anna.
func sealed(t *testing.T, purpose, id string, until time.Time) string {
	t.Helper()
	text, err := sealer(t, "csp_canary").Seal(purpose, map[string]string{"i": id, "s": "person anna "}, until)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Two gates with one proxy key can stand in front of two servers, and the ids of one server can be guessed.
func TestSessionAtAnotherServerIsUnknown(t *testing.T) {
	t.Parallel()
	first, second := newServer(t, answerSession), newServer(t, answerSession)
	id := begin(t, start(t, first, &judge{}, nil).URL)
	if got := send(t, "POST", start(t, second, &judge{}, nil).URL+"/mcp", ping, "Mcp-Session-Id", id); got.status != 404 || len(second.requests()) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestModernRequestHasNoSession(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	g := start(t, s, &judge{}, nil)
	got := send(t, "POST", g.URL+"/mcp", ping, "Mcp-Session-Id", upstreamID, "MCP-Protocol-Version", "2026-07-28")
	if _, found := s.last(t).header["Mcp-Session-Id"]; got.status != 200 || found {
		t.Errorf("%+v, the server got %+v", got, s.last(t))
	}
}

func TestJudgeLearnsWhoCalls(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerSession)
	var from gate.Caller
	g := start(t, s, &judge{decide: func(_ context.Context, caller gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		from = caller
		return gate.Verdict{Forward: call.Raw}
	}}, nil)
	id := begin(t, g.URL)
	send(t, "POST", g.URL+"/mcp", pay, "Mcp-Session-Id", id, "MCP-Protocol-Version", "2025-11-25")
	if want := (gate.Caller{Person: client.Person{Customer: "anna"}, Version: "2025-11-25", URLElicitation: true}); from != want {
		t.Errorf("%+v", from)
	}
	send(t, "POST", g.URL+"/mcp", pay, "Mcp-Session-Id", id, "MCP-Protocol-Version", "2026-07-28")
	if want := (gate.Caller{Person: client.Person{Customer: "anna"}}); from != want {
		t.Errorf("%+v", from)
	}
	without := send(t, "POST", g.URL+"/mcp", strings.Replace(initialize, `"url":{}`, `"form":{}`, 1)).header.Get("Mcp-Session-Id")
	send(t, "POST", g.URL+"/mcp", pay, "Mcp-Session-Id", without, "MCP-Protocol-Version", "2025-11-25")
	if from.URLElicitation {
		t.Errorf("%+v", from)
	}
}
