package receipt

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/pkg/client/action"
)

// shop is a tool server with one endpoint.
type shop struct {
	issuer   *issuer
	endpoint Endpoint
	mu       sync.Mutex
	ran      []string
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{issuer: newIssuer(t)}
	v, err := NewVerifier(s.issuer.URL, "payments", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.endpoint = Endpoint{
		Verifier: v, Instance: paid.Instance, Skill: paid.Skill, Once: InProcess(),
		Customer: func(r *http.Request) (string, error) { return r.Header.Get("Customer"), nil },
	}
	return s
}

func (s *shop) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	claims, found := FromContext(r.Context())
	if err != nil || !found {
		panic("no claims, or no body")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ran = append(s.ran, claims.ID+" "+string(body))
}

func (s *shop) request(t *testing.T, receipt, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	require, err := s.endpoint.Require()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/transfer", strings.NewReader(body))
	r.Header.Set("Customer", paid.Customer)
	if receipt != "" {
		r.Header.Set(Header, receipt)
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	require(s).ServeHTTP(w, r)
	return w
}

func (s *shop) receipt(t *testing.T) string {
	t.Helper()
	return sign(t, s.issuer.claims(t), jwt.SigningMethodEdDSA, privateKey(1), nil)
}

func TestRequire(t *testing.T) {
	t.Parallel()
	unchanged := func(*shop, *testing.T) {}
	for _, test := range []struct {
		name    string
		body    string
		set     func(*shop, *testing.T)
		request func(*http.Request)
		status  int
		code    string
	}{
		{"the approved action", paid.Arguments, unchanged, nil, 200, ""},
		{"the same arguments in another spelling", ` { "amount" : "250.00", "to" : "B\u006fb" } `, unchanged, nil, 200, ""},
		{"no receipt", paid.Arguments, unchanged, func(r *http.Request) { r.Header.Del(Header) }, 401, "insufficient_user_authentication"},
		{"an empty receipt", paid.Arguments, unchanged, func(r *http.Request) { r.Header.Set(Header, "") }, 401, "insufficient_user_authentication"},
		{"two receipts", paid.Arguments, unchanged, func(r *http.Request) { r.Header.Add(Header, r.Header.Get(Header)) }, 401, "insufficient_user_authentication"},
		{"another text", paid.Arguments, unchanged, func(r *http.Request) { r.Header.Set(Header, "canary") }, 401, "insufficient_user_authentication"},
		{"other arguments", `{"to":"Eve","amount":"250.00"}`, unchanged, nil, 401, "insufficient_user_authentication"},
		{"no arguments", "", unchanged, nil, 401, "insufficient_user_authentication"},
		{"another customer", paid.Arguments, unchanged, func(r *http.Request) { r.Header.Set("Customer", "customer-2") }, 401, "insufficient_user_authentication"},
		{"another skill", paid.Arguments, func(s *shop, _ *testing.T) { s.endpoint.Skill = "payments.refund" }, nil, 401, "insufficient_user_authentication"},
		{"another instance", paid.Arguments, func(s *shop, _ *testing.T) { s.endpoint.Instance = "instance-2" }, nil, 401, "insufficient_user_authentication"},
		{"another audience", paid.Arguments, func(s *shop, t *testing.T) {
			v, err := NewVerifier(s.issuer.URL, "shop", nil)
			if err != nil {
				t.Fatal(err)
			}
			s.endpoint.Verifier = v
		}, nil, 401, "insufficient_user_authentication"},
		{"an unknown customer", paid.Arguments, unchanged, func(r *http.Request) { r.Header.Del("Customer") }, 403, "customer_unknown"},
		{"a customer that cannot be found", paid.Arguments, func(s *shop, _ *testing.T) {
			s.endpoint.Customer = func(*http.Request) (string, error) { return paid.Customer, errors.New("canary") }
		}, nil, 403, "customer_unknown"},
		{"a query", paid.Arguments, unchanged, func(r *http.Request) { r.URL.RawQuery = "to=canary" }, 422, "invalid"},
		{"a value in the path", paid.Arguments, unchanged, func(r *http.Request) { r.Pattern = "POST /{to}/transfer/{$}" }, 422, "invalid"},
		{"a path without values", paid.Arguments, unchanged, func(r *http.Request) { r.Pattern = "POST /transfer/{$}" }, 200, ""},
		{"the same member twice", `{"to":"Bob","to":"canary"}`, unchanged, nil, 422, "invalid"},
		{"a list", `["canary"]`, unchanged, nil, 422, "invalid"},
		{"half a body", `{"to":`, unchanged, nil, 422, "invalid"},
		{"arguments that cannot be read", paid.Arguments, func(s *shop, _ *testing.T) {
			s.endpoint.Arguments = func(*http.Request, []byte) (string, error) { return paid.Arguments, errors.New("canary") }
		}, nil, 422, "invalid"},
		{"a long body", paid.Arguments + strings.Repeat(" ", action.MaxInputBytes), unchanged, nil, 413, "body_too_large"},
		{"a body that breaks", "", unchanged, func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(paid.Arguments), broken{}))
		}, 400, "body_unreadable"},
		{"keys that cannot be read", paid.Arguments, func(s *shop, _ *testing.T) { s.issuer.set(500, nil) }, nil, 503, "receipt_unchecked"},
		{"a use that cannot be stored", paid.Arguments, func(s *shop, _ *testing.T) {
			s.endpoint.Once = func(context.Context, string, time.Time) (bool, error) { return true, errors.New("canary") }
		}, nil, 503, "receipt_unchecked"},
		{"a receipt that was used", paid.Arguments, func(s *shop, _ *testing.T) {
			s.endpoint.Once = func(context.Context, string, time.Time) (bool, error) { return false, nil }
		}, nil, 409, "receipt_used"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			test.set(s, t)
			receipt := s.receipt(t)
			w := s.request(t, receipt, test.body, test.request)
			if w.Code != test.status || w.Header().Get("X-Error-Code") != test.code || (len(s.ran) == 1) != (test.status == 200) {
				t.Fatalf("%d %s %s, ran %q", w.Code, w.Header(), w.Body, s.ran)
			}
			if test.status == 200 {
				if s.ran[0] != "approval-1 "+test.body {
					t.Errorf("ran %q", s.ran)
				}
				return
			}
			var body struct{ Detail, Code string }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Detail == "" || body.Code != test.code || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%v, %s", w.Header(), w.Body)
			}
			wantChallenge := ""
			if test.status == 401 {
				wantChallenge = `Bearer error="insufficient_user_authentication", error_description="` + body.Detail + `"`
			}
			if got := w.Header().Get("WWW-Authenticate"); got != wantChallenge || strings.Count(got, `"`)%4 != 0 {
				t.Errorf("challenge %s", got)
			}
			if strings.Contains(w.Body.String(), "canary") || strings.Contains(w.Body.String(), receipt) {
				t.Errorf("the answer repeats a value: %s", w.Body)
			}
		})
	}
}

// broken is a connection that breaks.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the connection broke") }

func TestReceiptRunsOneOfManyRequests(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	receipt := s.receipt(t)
	codes := make(chan int, 8)
	for range cap(codes) {
		go func() { codes <- s.request(t, receipt, paid.Arguments, nil).Code }()
	}
	count := map[int]int{}
	for range cap(codes) {
		count[<-codes]++
	}
	if count[200] != 1 || count[409] != cap(codes)-1 || len(s.ran) != 1 {
		t.Errorf("answers %v, ran %q", count, s.ran)
	}
}

func TestArgumentsOfThePathAndTheQuery(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.endpoint.Arguments = func(r *http.Request, body []byte) (string, error) {
		_, err := io.ReadAll(r.Body)
		return `{"to":"` + r.URL.Query().Get("to") + `","amount":"` + string(body) + `"}`, err
	}
	eve := func(r *http.Request) { r.URL.RawQuery = "to=Eve" }
	if w := s.request(t, s.receipt(t), "250.00", eve); w.Code != 401 {
		t.Errorf("%d, ran %q", w.Code, s.ran)
	}
	w := s.request(t, s.receipt(t), "250.00", func(r *http.Request) { r.URL.RawQuery = "to=Bob" })
	if w.Code != 200 || s.ran[0] != "approval-1 250.00" {
		t.Errorf("%d, ran %q", w.Code, s.ran)
	}
}

func TestOnceKeepsTheIDLongerThanAReceiptIsAccepted(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	claims := s.issuer.claims(t)
	var until time.Time
	s.endpoint.Once = func(_ context.Context, id string, expires time.Time) (bool, error) {
		until = expires
		return id == claims.ID, nil
	}
	s.request(t, sign(t, claims, jwt.SigningMethodEdDSA, privateKey(1), nil), paid.Arguments, nil)
	if accepted := time.Unix(claims.ExpiresAt, 0).Add(leeway); until.Before(accepted.Add(time.Minute)) {
		t.Errorf("kept until %v, accepted until %v", until, accepted)
	}
}

func TestInProcessForgetsExpiredReceipts(t *testing.T) {
	t.Parallel()
	once := InProcess()
	for _, test := range []struct {
		expires time.Time
		first   bool
	}{{time.Now().Add(-time.Second), true}, {time.Now().Add(time.Hour), true}, {time.Now().Add(time.Hour), false}} {
		if first, err := once(t.Context(), "approval-1", test.expires); err != nil || first != test.first {
			t.Errorf("%v: %t, %v", test.expires, first, err)
		}
	}
}

func TestRequireRefusesAnEndpointThatIsNotComplete(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*Endpoint){
		"Verifier": func(e *Endpoint) { e.Verifier = nil },
		"Instance": func(e *Endpoint) { e.Instance = "" },
		"Skill":    func(e *Endpoint) { e.Skill = "" },
		"Customer": func(e *Endpoint) { e.Customer = nil },
		"Once":     func(e *Endpoint) { e.Once = nil },
	} {
		e := newShop(t).endpoint
		remove(&e)
		if _, err := e.Require(); err == nil {
			t.Errorf("an endpoint without %s is accepted", name)
		}
	}
}
