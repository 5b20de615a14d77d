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

// signed is a signature that must be possible.
func signed(signature string, err error) string {
	if err != nil {
		panic(err)
	}
	return signature
}

// spelled is a call as one line.
func spelled(c call) string {
	parts := []string{c.method, c.path}
	if c.body != "" {
		parts = append(parts, c.body)
	}
	for _, name := range slices.Sorted(maps.Keys(c.header)) {
		parts = append(parts, name+"="+c.header[name])
	}
	return strings.Join(parts, " ")
}

var credentials = Credentials{secret.New("the-key"), secret.New("c2VjcmV0"), secret.New("the phrase")}

// ask asks an exchange that is played by a handler behind TLS.
func ask(t *testing.T, exchange string, trusted bool, handler http.HandlerFunc) Result {
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
	v := venues[exchange]
	v.live, v.testnet = server.URL, server.URL
	c := Connections{client: newClient(transport), venues: map[string]venue{exchange: v}}
	return c.Test(t.Context(), exchange, false, credentials)
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// Whatever else an exchange does, it is unreachable, and in time.
func TestExchangesThatMisbehave(t *testing.T) {
	t.Parallel()
	good := `{"balances":[]}`
	for name, handler := range map[string]http.HandlerFunc{
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				fmt.Fprint(w, good)
				return
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
			fmt.Fprint(w, `{"code":-2015}`)
		},
		"answers HTML":              answer(200, "<html>"+good),
		"answers nothing":           answer(200, ""),
		"answers half":              answer(200, good[:8]),
		"answers twice":             answer(200, good+good),
		"429":                       answer(429, `{"code":-2015}`),
		"500":                       answer(500, `{"code":-2015}`),
		"503":                       answer(503, good),
		"304":                       answer(304, ""),
		"says too much":             answer(200, `{"balances":[],"x":"`+strings.Repeat("x", maxAnswer)+`"}`),
		"says too much in a header": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 20<<20)) },
		"hangs up":                  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		if got := ask(t, "binance", true, handler); got.Code != Unreachable {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if got := ask(t, "binance", false, answer(200, good)); got.Code != Unreachable {
		t.Errorf("a certificate that nobody vouches for: got %+v", got)
	}
	if got := ask(t, "binance", true, answer(200, good)); got.Code != OK {
		t.Errorf("one that behaves: got %+v", got)
	}
}

func TestAnExchangeThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]func(http.ResponseWriter){
		"before the answer": func(http.ResponseWriter) {},
		"in the answer":     func(w http.ResponseWriter) { fmt.Fprint(w, `{"balances":`); w.(http.Flusher).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, "binance", true, func(w http.ResponseWriter, r *http.Request) {
				handler(w)
				<-r.Context().Done() // until the client goes
			})
			if got.Code != Unreachable || got.Latency < answerTime {
				t.Errorf("got %+v", got)
			}
		})
	}
	latest := time.Now().Add(5 * time.Second)
	c := Connections{venues: venues, client: newClient(trip(func(r *http.Request) (*http.Response, error) {
		if deadline, has := r.Context().Deadline(); !has || !deadline.Before(latest) {
			t.Errorf("given up at %v, asked at most 5 s before %v", deadline, latest)
		}
		return nil, errors.New("nobody is there")
	}))}
	c.Test(t.Context(), "binance", false, credentials)
}

// trip is what a client does instead of asking.
type trip func(*http.Request) (*http.Response, error)

func (t trip) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// Every exchange is asked by TLS at its own host, and nothing inside is reached by the name of one.
func TestWhereExchangesAre(t *testing.T) {
	t.Parallel()
	for name, v := range venues {
		for _, at := range []string{v.live, v.testnet} {
			if at != "" && (!strings.HasPrefix(at, "https://") || strings.Count(at, "/") != 2) {
				t.Errorf("%s is at %s", name, at)
			}
		}
	}
	inside := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(inside.Close)
	c := NewConnections("http://127.0.0.1:1")
	for _, target := range []string{inside.URL, strings.Replace(inside.URL, "127.0.0.1", "localhost", 1)} {
		if _, _, err := c.send(t.Context(), target, call{method: http.MethodGet}); err == nil || !strings.Contains(err.Error(), "not a public address") {
			t.Errorf("%s: got %v", target, err)
		}
	}
	for address, want := range map[string]bool{
		"8.8.8.8:443": true, "[2606:4700::1]:443": true, "127.0.0.1:443": false, "10.0.0.1:443": false, "172.16.0.1:443": false, "192.168.0.1:443": false,
		"169.254.169.254:443": false, "0.0.0.0:443": false, "[::1]:443": false, "[fe80::1]:443": false, "[fc00::1]:443": false, "[::ffff:10.0.0.1]:443": false, "x": false,
	} {
		if isPublic(address) != want {
			t.Errorf("%s is public: %v", address, !want)
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
	good := Credentials{APIKey: secret.New(sandboxKey), APISecret: secret.New(sandboxSecret)}
	for _, late := range []time.Duration{-sandboxWindow - time.Second, sandboxWindow + time.Minute, -time.Hour} {
		if got := c.test(t.Context(), "sandbox", question{Credentials: good, now: time.Now().Add(late)}); got != Unreachable {
			t.Errorf("signed %v from now: got %s", late, got)
		}
	}
	// A signature is of its own time.
	replayed, _ := askSandbox(question{Credentials: good, now: time.Now().Add(-time.Second)})
	replayed.header["X-Sandbox-Timestamp"] = question{now: time.Now()}.millis()
	if status, body, err := c.send(t.Context(), url, replayed); status != http.StatusUnauthorized || !strings.Contains(string(body), "wrong signature") {
		t.Errorf("got %d %s, %v", status, body, err)
	}
	stop()
	if got := test(sandboxKey, sandboxSecret); got != Unreachable {
		t.Errorf("stopped: got %s", got)
	}
	if got := c.Test(t.Context(), "kraken", true, good).Code; got != UnsupportedExchange {
		t.Errorf("no test network: got %s", got)
	}
	if got := c.Test(t.Context(), "kraken", false, good).Code; got != InvalidCredentials {
		t.Errorf("a secret with which nothing can be signed: got %s", got)
	}
}
