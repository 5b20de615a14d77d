package exchange

import (
	"context"
	"crypto/hmac"
	"crypto/tls"
	"errors"
	"hash"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Code is the result of a test, as the API returns it.
type Code string

// The results of a test.
const (
	OK                  Code = "ok"
	InvalidCredentials  Code = "invalid_credentials"
	IPNotWhitelisted    Code = "ip_not_whitelisted"
	ScopeMissing        Code = "scope_missing"
	NoAccountAccess     Code = "no_account_access"
	Unreachable         Code = "unreachable"
	UnsupportedExchange Code = "unsupported_exchange"
)

var messages = map[Code]string{
	OK:                  "The exchange accepts the API key",
	InvalidCredentials:  "The exchange does not accept the API key, its secret or its passphrase",
	IPNotWhitelisted:    "The exchange does not accept the API key from the IP address of this service",
	ScopeMissing:        "The API key has no permission to read the account",
	NoAccountAccess:     "The API key is valid, but its account is closed or blocked",
	Unreachable:         "The exchange gave no usable answer, so the API key was not tested",
	UnsupportedExchange: "This exchange or its test network is not supported",
}

// valid returns whether the key is valid, or nil when the test did not reach the exchange.
func (c Code) valid() *bool {
	if c == Unreachable || c == UnsupportedExchange {
		return nil
	}
	valid := c == OK
	return &valid
}

// Result is the result of a test.
type Result struct {
	Code Code
	// Message explains the code to the user.
	Message string
	Latency time.Duration
}

// exchangeAPI describes how to test a key at one exchange. Each exchange has a file with its functions build and parse.
type exchangeAPI struct {
	// live and testnet are base URLs. testnet is empty if the exchange has no test network.
	live, testnet string
	// passphrase says that the keys of this exchange have a passphrase.
	passphrase bool
	// build returns a signed, read-only request, or errUnsignable.
	build func(input) (signedRequest, error)
	// parse returns the result that an answer means. For an unexpected answer it returns Unreachable.
	parse func(status int, body []byte) Code
}

// input is the data from which a request is built.
type input struct {
	Credentials
	testnet bool
	now     time.Time
}

// millis returns the time as Unix time in milliseconds.
func (in input) millis() string { return strconv.FormatInt(in.now.UnixMilli(), 10) }

// signedRequest is a request with its signature. path includes the query.
type signedRequest struct {
	method, path, body string
	header             map[string]string
}

// errUnsignable means that a secret does not have the form of the exchange's secrets.
var errUnsignable = errors.New("the secret has the wrong form")

// exchanges lists the exchanges by name. NewConnections adds the sandbox, whose URL is known only at run time.
var exchanges = map[string]exchangeAPI{
	"binance":   {live: "https://api.binance.com", testnet: "https://testnet.binance.vision", build: buildBinance, parse: parseBinance},
	"binanceus": {live: "https://api.binance.us", build: buildBinanceUS, parse: parseBinance},
	"bybit":     {live: "https://api.bybit.com", testnet: "https://api-testnet.bybit.com", build: buildBybit, parse: parseBybit},
	"coinbase": {live: "https://api.exchange.coinbase.com", testnet: "https://api-public.sandbox.exchange.coinbase.com", passphrase: true,
		build: buildCoinbase, parse: parseCoinbase},
	"kraken": {live: "https://api.kraken.com", build: buildKraken, parse: parseKraken},
	"okx":    {live: "https://www.okx.com", testnet: "https://www.okx.com", passphrase: true, build: buildOKX, parse: parseOKX},
}

const (
	// answerTimeout limits one request. Together with the work before and after it, a test takes at most 5 s.
	answerTimeout = 4 * time.Second
	// maxAnswer is the maximum length of an answer in bytes.
	maxAnswer = 64 << 10
)

// Connections tests keys at exchanges.
type Connections struct {
	client    *http.Client
	exchanges map[string]exchangeAPI
}

// NewConnections returns Connections to all exchanges, and to the sandbox at sandboxURL. It uses no proxy and follows no
// redirect. Apart from the sandbox it connects only to public IP addresses, so that a DNS answer cannot direct a request into
// the private network.
func NewConnections(sandboxURL string) *Connections {
	all := maps.Clone(exchanges)
	all["sandbox"] = exchangeAPI{live: sandboxURL, testnet: sandboxURL, build: buildSandbox, parse: parseSandbox}
	dialer := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		if "http://"+address == sandboxURL || isPublic(address) {
			return nil
		}
		return errors.New("the IP address is not public")
	}}
	return &Connections{exchanges: all, client: newClient(&http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		MaxResponseHeaderBytes: maxAnswer, IdleConnTimeout: 30 * time.Second,
	})}
}

func newClient(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func isPublic(address string) bool {
	at, err := netip.ParseAddrPort(address)
	ip := at.Addr().Unmap()
	return err == nil && ip.IsGlobalUnicast() && !ip.IsPrivate()
}

// Test sends a signed, read-only request to an exchange and returns whether the exchange accepts the credentials.
func (c *Connections) Test(ctx context.Context, exchange string, testnet bool, credentials Credentials) Result {
	start := time.Now()
	code := c.test(ctx, exchange, input{Credentials: credentials, testnet: testnet, now: start})
	return Result{Code: code, Message: messages[code], Latency: time.Since(start)}
}

func (c *Connections) test(ctx context.Context, exchange string, in input) Code {
	api := c.exchanges[exchange]
	base := api.live
	if in.testnet {
		base = api.testnet
	}
	if base == "" {
		return UnsupportedExchange
	}
	request, err := api.build(in)
	if err != nil {
		return InvalidCredentials
	}
	status, body, err := c.send(ctx, base, request)
	if err != nil {
		return Unreachable // the error is dropped: it contains the URL, which at some exchanges contains the signature
	}
	switch status {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return api.parse(status, body)
	}
	return Unreachable // a redirect, a rate limit or a server error
}

// send sends a request and returns the answer. Its error may contain the signature: do not log it.
func (c *Connections) send(ctx context.Context, base string, signed signedRequest) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, signed.method, base+signed.path, strings.NewReader(signed.body))
	if err != nil {
		return 0, nil, err
	}
	for name, value := range signed.header {
		request.Header.Set(name, value)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // a truncated answer is not valid JSON, so parse returns Unreachable
	return response.StatusCode, body, err
}

// mac returns the HMAC of a text.
func mac(algorithm func() hash.Hash, key []byte, text string) []byte {
	h := hmac.New(algorithm, key)
	io.WriteString(h, text) // writing to a hash never fails
	return h.Sum(nil)
}
