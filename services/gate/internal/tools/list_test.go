package tools

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client"
)

// described returns what was read about tools: name, title, and the annotations as r or d, with - for false and ? for unknown.
func described(all []Tool) string {
	letter := func(b *bool, s string) string {
		switch {
		case b == nil:
			return s + "?"
		case *b:
			return s
		}
		return s + "-"
	}
	var texts []string
	for _, t := range all {
		texts = append(texts, t.Name+" "+t.Title+" "+letter(t.ReadOnly, "r")+" "+letter(t.Destructive, "d"))
	}
	return strings.Join(texts, ", ")
}

func TestListOfBothErasAndTransports(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"two pages": "read Read a file r d?, write Write r? d-, delete  r? d?",
		"no tools":  "",
		"modern":    "read  r? d?",
		"noise":     "read  r? d?",
	} {
		for transport, server := range servers(t, name) {
			got, err := List(t.Context(), server)
			if err != nil || described(got) != want {
				t.Errorf("%s over %s: %q, %v, want %q", name, transport, described(got), err, want)
			}
		}
	}
}

func TestHugeList(t *testing.T) {
	t.Parallel()
	for transport, server := range servers(t, "10000 tools") {
		if got, err := List(t.Context(), server); err != nil || len(got) != maxTools {
			t.Errorf("%s: %d tools, %v", transport, len(got), err)
		}
	}
}

func TestListsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"cursor loop":      "a cursor repeats",
		"no end":           "more than 1000 pages",
		"10001 tools":      "more than 10000 tools",
		"an error":         "answered with the error -32603",
		"not a list":       "list of tools is not valid",
		"no list":          "list of tools is not valid",
		"no result":        "neither a result nor an error",
		"a nameless tool":  "tool 2 of the page has no name",
		"a number as name": "list of tools is not valid",
		"a huge message":   "a message of the server is too long",
		"no version":       "has no protocolVersion",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for transport, server := range servers(t, name) {
				got, err := List(t.Context(), server)
				if err == nil || got != nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
					t.Errorf("%s: %d tools, %v, want %q", transport, len(got), err, want)
				}
			}
		})
	}
}

func TestServerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"no answer", "no initialize"} {
		for transport, server := range servers(t, name) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			got, err := List(ctx, server)
			cancel()
			if err == nil || got != nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
				t.Errorf("%s over %s: %v", name, transport, err)
			}
		}
	}
}

// A server that does not read its input must not hold the gate.
func TestServerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	command, err := Start([]string{"sleep", "1000"}, os.Environ(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer command.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for err == nil { // until the pipe is full
		err = command.send(ctx, request{ID: 1, Method: strings.Repeat("x", 1<<20)})
	}
}

func TestCommandsThatAreNoServers(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		command string
		want    string
	}{
		"it ends":             {"exit 3", "the server ended before it answered initialize"},
		"it prints text":      {"echo canary; exec sleep 1000", "1 lines of its output are not JSON"},
		"its output ends":     {"exec >&-; exec sleep 1000", "the server ended before it answered initialize"},
		"it closes its input": {"exec <&-; exec sleep 1000", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command, err := Start([]string{"sh", "-c", rule.command}, os.Environ(), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			defer command.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			got, err := List(ctx, command)
			if err == nil || got != nil || !strings.Contains(err.Error(), rule.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%v, want %q", err, rule.want)
			}
		})
	}
	if _, err := Start([]string{"/no/such/program"}, nil, io.Discard); err == nil {
		t.Error("a program that does not exist was started")
	}
}

func TestAnswersThatAreNoMCP(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"401":            {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "needs an access token"},
		"404":            {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, "HTTP status 404"},
		"500":            {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "HTTP status 500"},
		"a page":         {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>canary") }, "reading the server's answer"},
		"another answer": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"id":7,"result":{}}`) }, "answered another request"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://canary.example/", http.StatusFound)
		}, "HTTP status 302"},
		"an empty stream": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/event-stream") }, "the stream ended"},
		"a stream of noise": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: canary\n\n")
		}, "the stream ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(rule.answer)
			defer server.Close()
			u, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			_, err = List(t.Context(), Dial(u, client.NewSecret("canary_token")))
			if err == nil || !strings.Contains(err.Error(), rule.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%v, want %q", err, rule.want)
			}
		})
	}
}
