package proxy_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/services/gate/internal/gate"
	"github.com/countersign/countersign/services/gate/internal/message"
	"github.com/countersign/countersign/services/gate/internal/proxy"
)

// holdAll is a judge that holds all calls until release is closed.
func holdAll(entered chan<- struct{}, release <-chan struct{}) *judge {
	return &judge{decide: func(_ context.Context, _ gate.Caller, call message.Call, _ gate.Client) gate.Verdict {
		entered <- struct{}{}
		<-release
		return gate.Verdict{Answer: []byte(ok)}
	}}
}

// Many long messages at the same time must not take all memory. Short messages pass in the meantime.
func TestLongMessagesAtTheSameTimeAreLimited(t *testing.T) {
	t.Parallel()
	s := newServer(t, answerOK)
	entered, release := make(chan struct{}), make(chan struct{})
	g := start(t, s, holdAll(entered, release), nil)
	long := strings.Replace(pay, `"Bob"`, `"`+strings.Repeat("b", 1<<20-1000)+`"`, 1)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got := send(t, "POST", g.URL+"/mcp", long); got.status != 200 {
				t.Errorf("%+v", got)
			}
		})
		<-entered
	}
	got := send(t, "POST", g.URL+"/mcp", long)
	if _, _, text := got.failure(t); got.status != 503 || got.header.Get("Retry-After") == "" || !strings.Contains(text, "long messages") {
		t.Errorf("%+v", got)
	}
	if got := send(t, "POST", g.URL+"/mcp", ping); got.status != 200 {
		t.Errorf("%+v", got)
	}
	close(release)
	all.Wait()
	all.Go(func() { <-entered })
	if got := send(t, "POST", g.URL+"/mcp", long); got.status != 200 {
		t.Errorf("%+v", got)
	}
	all.Wait()
}

// A subject with very many requests must not stop the gate for the others.
func TestRequestsOfOneSubjectAreLimited(t *testing.T) {
	t.Parallel()
	k, s := newTokens(t), newServer(t, answerOK)
	entered, release := make(chan struct{}), make(chan struct{})
	handler := handler(t, s, holdAll(entered, release), func(p *proxy.Settings) { k.settings(p); p.AllowHosts = []string{"example.com"} })
	anna, eve := k.of("anna@app"), k.of("eve@app")
	post := func(token string) int { // without connections, which would need many file descriptors
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/mcp", strings.NewReader(pay))
		r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {token}}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	var all sync.WaitGroup
	held := func(token string) {
		all.Go(func() {
			if status := post(token); status != 200 {
				t.Errorf("status %d", status)
			}
		})
		<-entered
	}
	for range 1024 {
		held(anna)
	}
	if status := post(anna); status != 503 {
		t.Errorf("status %d", status)
	}
	held(eve)
	close(release)
	all.Wait()
	held(anna)
	all.Wait()
}
