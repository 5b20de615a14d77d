package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

type object = map[string]any

// link of the fake approvals. The token is well-formed as far as the page knows.
const fakeToken = "cap_fake0token"

// fakeAPI serves the real pages, with an API that gives the answers of the test. So each state of a page can be shown.
type fakeAPI struct {
	*httptest.Server

	mu sync.Mutex
	// view is the answer to open, and openStatus its HTTP status.
	view       object
	openStatus int
	// decide answers a decision.
	decide func(body object) (status int, answer object)
	// calls are the requests to the API: the path, and the body.
	calls []string
	// hold delays the answers of the API until it is closed.
	hold chan struct{}
}

func newFakeAPI(t *testing.T) *fakeAPI {
	t.Helper()
	f := &fakeAPI{view: demoView(), openStatus: http.StatusOK}
	target, err := url.Parse(stack.PinAdminURL)
	must(t, err)
	pages := httputil.NewSingleHostReverseProxy(target)
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	mux.HandleFunc("GET /frame", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<!doctype html><title>frame</title><iframe src="%s" onload="framed = this.contentDocument !== null"></iframe>`, r.FormValue("of"))
	})
	mux.HandleFunc("POST /v1/approvals/open", f.answer(func(object) (int, object) { return f.openStatus, f.view }))
	mux.HandleFunc("POST /v1/approvals/decide", f.answer(func(body object) (int, object) { return f.decide(body) }))
	mux.HandleFunc("POST /v1/enrolments/open", f.answer(func(object) (int, object) { return f.openStatus, f.view }))
	mux.HandleFunc("POST /v1/enrolments/complete", f.answer(func(body object) (int, object) { return f.decide(body) }))
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeAPI) answer(answer func(body object) (int, object)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		var body object
		_ = json.Unmarshal(content, &body)
		f.mu.Lock()
		f.calls = append(f.calls, r.URL.Path+" "+string(content))
		hold := f.hold
		f.mu.Unlock()
		if hold != nil {
			<-hold
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		status, result := answer(body)
		if code, ok := result["code"].(string); ok {
			w.Header().Set("X-Error-Code", code)
		}
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "2")
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(result)
	}
}

// set changes fields of the view. The key "pin.state" changes a field of an inner object.
func (f *fakeAPI) set(fields object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view = with(f.view, fields)
}

// with returns a copy of an object with other values.
func with(o, fields object) object {
	o = maps.Clone(o)
	for name, value := range fields {
		outer, inner, nested := strings.Cut(name, ".")
		if nested {
			o[outer] = with(o[outer].(object), object{inner: value})
		} else {
			o[name] = value
		}
	}
	return o
}

// received returns how many requests the API got for a path.
func (f *fakeAPI) received(path string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, call := range f.calls {
		if strings.HasPrefix(call, path+" ") {
			n++
		}
	}
	return n
}

// openLink opens the page of an approval with a fake link.
func (f *fakeAPI) openLink(p *page) {
	p.t.Helper()
	p.do(chromedp.Navigate(f.URL + "/approve#" + fakeToken))
	p.heading("An agent asks for your approval")
}

func argument(path, value string, flags ...string) object {
	if flags == nil {
		flags = []string{}
	}
	return object{"path": path, "value": value, "type": "string", "flags": flags, "in_summary": false}
}

// demoView is what open answers about a pending approval.
func demoView() object {
	return object{
		"id": "5f1c3f0e-6a43-4d0a-9d0e-5d0f4f1f5a10", "status": "pending", "reason": nil, "grants": "action",
		"instance_name": "Ada’s assistant", "customer_name": "Ada Lovelace", "requester": "production", "audience": "payments",
		"title":         "Send money",
		"summary_parts": []object{{"text": "Send "}, {"value": "250.00", "flags": []string{}}, {"text": " EUR to "}, {"value": "Charles Babbage", "flags": []string{}}, {"text": "."}},
		"arguments":     []object{argument("amount", "250.00"), argument("currency", "EUR"), argument("to.name", "Charles Babbage"), argument("to.iban", "DE89 3704 0044 0532 0130 00")},
		"note":          "You asked me to pay the invoice for the engine.", "session": nil,
		"expires_at": "2030-01-01T12:00:00Z", "expires_in": 583, "tries_left": 2,
		"pin":           object{"state": "active", "locked_until": nil, "locked_for": 0},
		"known_browser": true, "known_browser_required": false, "phrase": "seven blue elephants", "view_hash": "aa",
	}
}

// decision is an answer to a decision.
func decision(status string, fields object) object {
	return with(object{"status": status, "reason": nil, "error": nil, "remaining_attempts": nil, "remaining_tries": nil, "locked_until": nil, "retry_after": nil}, fields)
}
