package exchange

import (
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/secret"
)

// mustSign returns a signature, or panics.
func mustSign(signature string, err error) string {
	if err != nil {
		panic(err)
	}
	return signature
}

// oneLine returns a request as one line.
func oneLine(r signedRequest) string {
	parts := []string{r.method, r.path}
	if r.body != "" {
		parts = append(parts, r.body)
	}
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		parts = append(parts, name+"="+r.header[name])
	}
	return strings.Join(parts, " ")
}

var credentials = Credentials{secret.New("the-key"), secret.New("c2VjcmV0"), secret.New("the phrase")}

// testAgainst tests the credentials at an exchange that handler simulates on a TLS server. trusted says that the client trusts
// the server's certificate.
func testAgainst(t *testing.T, exchange string, trusted bool, handler http.HandlerFunc) Result {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(t.Output(), "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if trusted {
		transport = server.Client().Transport.(*http.Transport)
	}
	transport.Proxy = nil
	t.Cleanup(transport.CloseIdleConnections)
	api := exchanges[exchange]
	api.live, api.testnet = server.URL, server.URL
	c := Connections{client: newClient(transport), exchanges: map[string]exchangeAPI{exchange: api}}
	return c.Test(t.Context(), exchange, false, credentials)
}

func respond(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestUnexpectedAnswerIsUnreachable(t *testing.T) {
	t.Parallel()
	accepted := `{"balances":[]}`
	for name, handler := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				fmt.Fprint(w, accepted)
				return
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
			fmt.Fprint(w, `{"code":-2015}`)
		},
		"HTML":             respond(200, "<html>"+accepted),
		"empty body":       respond(200, ""),
		"truncated body":   respond(200, accepted[:8]),
		"body sent twice":  respond(200, accepted+accepted),
		"429":              respond(429, `{"code":-2015}`),
		"500":              respond(500, `{"code":-2015}`),
		"503":              respond(503, accepted),
		"304":              respond(304, ""),
		"body too large":   respond(200, `{"balances":[],"x":"`+strings.Repeat("x", maxAnswer)+`"}`),
		"header too large": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 20<<20)) },
		"disconnect":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		if got := testAgainst(t, "binance", true, handler); got.Code != Unreachable {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if got := testAgainst(t, "binance", false, respond(200, accepted)); got.Code != Unreachable {
		t.Errorf("untrusted certificate: got %+v", got)
	}
	if got := testAgainst(t, "binance", true, respond(200, accepted)); got.Code != OK {
		t.Errorf("expected answer: got %+v", got)
	}
}

func TestSlowExchangeIsUnreachableAfterTheTimeout(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]func(http.ResponseWriter){
		"before the answer": func(http.ResponseWriter) {},
		"within the answer": func(w http.ResponseWriter) { fmt.Fprint(w, `{"balances":`); w.(http.Flusher).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := testAgainst(t, "binance", true, func(w http.ResponseWriter, r *http.Request) {
				handler(w)
				<-r.Context().Done() // until the client disconnects
			})
			if got.Code != Unreachable || got.Latency < answerTimeout {
				t.Errorf("got %+v", got)
			}
		})
	}
	latest := time.Now().Add(5 * time.Second)
	c := Connections{exchanges: exchanges, client: newClient(roundTrip(func(r *http.Request) (*http.Response, error) {
		if deadline, has := r.Context().Deadline(); !has || !deadline.Before(latest) {
			t.Errorf("the deadline is %v, want before %v", deadline, latest)
		}
		return nil, errors.New("unreachable")
	}))}
	c.Test(t.Context(), "binance", false, credentials)
}

// roundTrip makes a function an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestExchangeURLsUseTLS(t *testing.T) {
	t.Parallel()
	for name, api := range exchanges {
		for _, url := range []string{api.live, api.testnet} {
			if url != "" && (!strings.HasPrefix(url, "https://") || strings.Count(url, "/") != 2) {
				t.Errorf("%s has the URL %s", name, url)
			}
		}
	}
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	t.Parallel()
	private := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(private.Close)
	c := NewConnections("http://127.0.0.1:1")
	for _, target := range []string{private.URL, strings.Replace(private.URL, "127.0.0.1", "localhost", 1)} {
		if _, _, err := c.send(t.Context(), target, signedRequest{method: http.MethodGet}); err == nil || !strings.Contains(err.Error(), "the IP address is not public") {
			t.Errorf("%s: got %v", target, err)
		}
	}
	for address, want := range map[string]bool{
		"8.8.8.8:443": true, "[2606:4700::1]:443": true, "127.0.0.1:443": false, "10.0.0.1:443": false, "172.16.0.1:443": false, "192.168.0.1:443": false,
		"169.254.169.254:443": false, "0.0.0.0:443": false, "[::1]:443": false, "[fe80::1]:443": false, "[fc00::1]:443": false, "[::ffff:10.0.0.1]:443": false, "x": false,
	} {
		if isPublic(address) != want {
			t.Errorf("isPublic(%s) = %v", address, !want)
		}
	}
}

func TestSandbox(t *testing.T) {
	t.Parallel()
	url, stop, err := ServeSandbox()
	if err != nil {
		t.Fatal(err)
	}
	c := NewConnections(url)
	test := func(key, secretText string) Code {
		return c.Test(t.Context(), "sandbox", false, Credentials{APIKey: secret.New(key), APISecret: secret.New(secretText)}).Code
	}
	for _, tt := range []struct {
		key, secret string
		want        Code
	}{
		{sandboxKey, sandboxSecret, OK}, {sandboxKey, sandboxSecret + " ", InvalidCredentials}, {sandboxKey, "", InvalidCredentials},
		{"another-key", sandboxSecret, InvalidCredentials}, {sandboxSecret, sandboxKey, InvalidCredentials},
	} {
		if got := test(tt.key, tt.secret); got != tt.want {
			t.Errorf("%s, %s: got %s", tt.key, tt.secret, got)
		}
	}
	valid := Credentials{APIKey: secret.New(sandboxKey), APISecret: secret.New(sandboxSecret)}
	for _, offset := range []time.Duration{-sandboxWindow - time.Second, sandboxWindow + time.Minute, -time.Hour} {
		if got := c.test(t.Context(), "sandbox", input{Credentials: valid, now: time.Now().Add(offset)}); got != Unreachable {
			t.Errorf("signed time %v from now: got %s", offset, got)
		}
	}
	// The signature covers the timestamp.
	replayed, _ := buildSandbox(input{Credentials: valid, now: time.Now().Add(-time.Second)})
	replayed.header["X-Sandbox-Timestamp"] = input{now: time.Now()}.millis()
	if status, body, err := c.send(t.Context(), url, replayed); status != http.StatusUnauthorized || !strings.Contains(string(body), "wrong signature") {
		t.Errorf("got %d %s, %v", status, body, err)
	}
	stop()
	if got := test(sandboxKey, sandboxSecret); got != Unreachable {
		t.Errorf("stopped sandbox: got %s", got)
	}
	if got := c.Test(t.Context(), "kraken", true, valid).Code; got != UnsupportedExchange {
		t.Errorf("no test network: got %s", got)
	}
	if got := c.Test(t.Context(), "kraken", false, valid).Code; got != InvalidCredentials {
		t.Errorf("malformed secret: got %s", got)
	}
}
