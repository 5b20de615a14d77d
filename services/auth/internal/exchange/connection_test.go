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

// What the exchanges answer, from their documentation.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		exchange string
		status   int
		body     string
		want     Code
	}{
		{"binance", 200, `{"canTrade":true,"accountType":"SPOT","balances":[]}`, OK},
		{"binanceus", 200, `{"balances":[{"asset":"BTC","free":"1"}]}`, OK},
		{"binance", 401, `{"code":-2014,"msg":"API-key format invalid."}`, InvalidCredentials},
		{"binance", 401, `{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}`, InvalidCredentials},
		{"binance", 400, `{"code":-2008,"msg":"Invalid Api-Key ID."}`, InvalidCredentials},
		{"binance", 400, `{"code":-1022,"msg":"Signature for this request is not valid."}`, InvalidCredentials},
		{"binance", 401, `{"code":-1002,"msg":"You are not authorized to execute this request."}`, ScopeMissing},
		{"binance", 400, `{"code":-1021,"msg":"Timestamp for this request is outside of the recvWindow."}`, Unreachable},
		{"binance", 451, `{"code":0,"msg":"Service unavailable from a restricted location"}`, Unreachable},
		{"binance", 418, `{"code":-1003,"msg":"Way too many requests; IP banned"}`, Unreachable},
		{"binance", 200, `{}`, Unreachable},
		{"binance", 400, `{"balances":[]}`, Unreachable},
		{"bybit", 200, `{"retCode":0,"retMsg":"OK","result":{"unifiedMarginStatus":4}}`, OK},
		{"bybit", 200, `{"retCode":10003,"retMsg":"API key is invalid."}`, InvalidCredentials},
		{"bybit", 200, `{"retCode":10004,"retMsg":"Error sign, please check your signature generation algorithm."}`, InvalidCredentials},
		{"bybit", 200, `{"retCode":33004,"retMsg":"Your api key has expired"}`, InvalidCredentials},
		{"bybit", 401, ``, InvalidCredentials},
		{"bybit", 200, `{"retCode":10005,"retMsg":"Permission denied, please check your API key permissions."}`, ScopeMissing},
		{"bybit", 200, `{"retCode":10010,"retMsg":"Unmatched IP, please check your API key's bound IP addresses."}`, IPNotWhitelisted},
		{"bybit", 200, `{"retCode":10008,"retMsg":"Common banned"}`, NoAccountAccess},
		{"bybit", 200, `{"retCode":10006,"retMsg":"Too many visits!"}`, Unreachable},
		{"bybit", 200, `{"result":{}}`, Unreachable},
		{"bybit", 403, `<html>`, Unreachable},
		{"coinbase", 200, `[{"id":"x","active":false},{"id":"y","active":true}]`, OK},
		{"coinbase", 200, `[{"id":"x","active":false}]`, NoAccountAccess},
		{"coinbase", 200, `[]`, NoAccountAccess},
		{"coinbase", 200, `null`, Unreachable},
		{"coinbase", 200, `{"message":"hello"}`, Unreachable},
		{"coinbase", 401, `{"message":"Invalid API Key"}`, InvalidCredentials},
		{"coinbase", 401, `{"message":"invalid signature"}`, InvalidCredentials},
		{"coinbase", 400, `{"message":"Invalid Passphrase"}`, InvalidCredentials},
		{"coinbase", 401, `{"message":"IP does not match IP whitelist"}`, IPNotWhitelisted},
		{"coinbase", 400, `{"message":"request timestamp expired"}`, Unreachable},
		{"coinbase", 403, `{"message":"Forbidden"}`, ScopeMissing},
		{"coinbase", 403, `<html>`, Unreachable},
		{"coinbase", 404, `{"message":"NotFound"}`, Unreachable},
		{"kraken", 200, `{"error":[],"result":{"ZUSD":"1.0000"}}`, OK},
		{"kraken", 200, `{"error":[],"result":{}}`, OK},
		{"kraken", 200, `{"error":["EAPI:Invalid key"]}`, InvalidCredentials},
		{"kraken", 200, `{"error":["EAPI:Invalid signature"]}`, InvalidCredentials},
		{"kraken", 200, `{"error":["EGeneral:Permission denied"]}`, ScopeMissing},
		{"kraken", 200, `{"error":["EAuth:Account temporary disabled"]}`, NoAccountAccess},
		{"kraken", 200, `{"error":["EAPI:Invalid nonce"]}`, Unreachable},
		{"kraken", 200, `{"error":["EGeneral:Temporary lockout"]}`, Unreachable},
		{"kraken", 200, `{"error":[]}`, Unreachable},
		{"okx", 200, `{"code":"0","data":[{"uid":"1"}],"msg":""}`, OK},
		{"okx", 401, `{"code":"50111","msg":"Invalid OK-ACCESS-KEY"}`, InvalidCredentials},
		{"okx", 401, `{"code":"50113","msg":"Invalid signature"}`, InvalidCredentials},
		{"okx", 401, `{"code":"50105","msg":"Request header OK-ACCESS-PASSPHRASE incorrect."}`, InvalidCredentials},
		{"okx", 401, `{"code":"50119","msg":"API key doesn't exist"}`, InvalidCredentials},
		{"okx", 401, `{"code":"50110","msg":"Your IP is not included in your API key's IP whitelist"}`, IPNotWhitelisted},
		{"okx", 401, `{"code":"50120","msg":"This API key doesn't have permission to use this function"}`, ScopeMissing},
		{"okx", 401, `{"code":"50100","msg":"API frozen, please contact customer service."}`, NoAccountAccess},
		{"okx", 401, `{"code":"50102","msg":"Timestamp request expired"}`, Unreachable},
		{"okx", 200, `{"code":"0"}`, Unreachable},
	} {
		got := ask(t, c.exchange, true, answer(c.status, c.body))
		if got.Code != c.want || got.Message != messages[c.want] || got.Message == "" || got.Latency <= 0 {
			t.Errorf("%s, %d %s: got %+v, want %s", c.exchange, c.status, c.body, got, c.want)
		}
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
