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

// Code says what came of a test.
type Code string

// What can come of a test.
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
	IPNotWhitelisted:    "The exchange does not accept the API key from our address",
	ScopeMissing:        "The exchange does not let the API key read the account",
	NoAccountAccess:     "The exchange knows the API key, but there is no account that it may read",
	Unreachable:         "The exchange could not be asked; this says nothing about the API key",
	UnsupportedExchange: "This exchange, or its test network, cannot be asked",
}

// valid is what a test says of the key; nil: nothing.
func (c Code) valid() *bool {
	if c == Unreachable || c == UnsupportedExchange {
		return nil
	}
	valid := c == OK
	return &valid
}

// Result is what came of a test, in words for people too, and how long it took.
type Result struct {
	Code    Code
	Message string
	Latency time.Duration
}

// venue is how one exchange is asked. A file of its own has the two functions.
type venue struct {
	// live and testnet are where; testnet is empty when there is none.
	live, testnet string
	// passphrase says that its keys have one.
	passphrase bool
	// ask makes the signed call. It returns errUnsignable.
	ask func(question) (call, error)
	// read understands an answer. What it does not understand is Unreachable.
	read func(status int, body []byte) Code
}

// question is what a call is made of.
type question struct {
	Credentials
	testnet bool
	now     time.Time
}

// millis is the time as most exchanges want it.
func (q question) millis() string { return strconv.FormatInt(q.now.UnixMilli(), 10) }

// call is a signed request. Its path has the query with it.
type call struct {
	method, path, body string
	header             map[string]string
}

// errUnsignable says that a secret is not of the form in which its exchange hands them out.
var errUnsignable = errors.New("nothing can be signed with this secret")

// venues are the exchanges. The sandbox, which this service plays itself, is added where it is known where it listens.
var venues = map[string]venue{
	"binance":   {live: "https://api.binance.com", testnet: "https://testnet.binance.vision", ask: askBinance, read: readBinance},
	"binanceus": {live: "https://api.binance.us", ask: askBinanceUS, read: readBinance},
	"bybit":     {live: "https://api.bybit.com", testnet: "https://api-testnet.bybit.com", ask: askBybit, read: readBybit},
	"coinbase": {live: "https://api.exchange.coinbase.com", testnet: "https://api-public.sandbox.exchange.coinbase.com", passphrase: true,
		ask: askCoinbase, read: readCoinbase},
	"kraken": {live: "https://api.kraken.com", ask: askKraken, read: readKraken},
	"okx":    {live: "https://www.okx.com", testnet: "https://www.okx.com", passphrase: true, ask: askOKX, read: readOKX},
}

const (
	// answerTime bounds a call, so that with what is done before and after a test is answered within 5 s.
	answerTime = 4 * time.Second
	// maxAnswer bounds an answer, in bytes.
	maxAnswer = 64 << 10
)

// Connections asks exchanges.
type Connections struct {
	client *http.Client
	venues map[string]venue
}

// NewConnections asks the exchanges where they are, and the sandbox at its URL. It uses no proxy, follows no redirect and,
// but for the sandbox, connects to public addresses alone: whatever a name resolves to, nothing inside is reached.
func NewConnections(sandboxURL string) *Connections {
	all := maps.Clone(venues)
	all["sandbox"] = venue{live: sandboxURL, testnet: sandboxURL, ask: askSandbox, read: readSandbox}
	dialer := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		if "http://"+address == sandboxURL || isPublic(address) {
			return nil
		}
		return errors.New("not a public address")
	}}
	return &Connections{venues: all, client: newClient(&http.Transport{
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

// Test asks an exchange, by a signed call that reads, whether it accepts these credentials.
func (c *Connections) Test(ctx context.Context, exchange string, testnet bool, credentials Credentials) Result {
	start := time.Now()
	code := c.test(ctx, exchange, question{Credentials: credentials, testnet: testnet, now: start})
	return Result{Code: code, Message: messages[code], Latency: time.Since(start)}
}

func (c *Connections) test(ctx context.Context, exchange string, q question) Code {
	v := c.venues[exchange]
	base := v.live
	if q.testnet {
		base = v.testnet
	}
	if base == "" {
		return UnsupportedExchange
	}
	signed, err := v.ask(q)
	if err != nil {
		return InvalidCredentials
	}
	status, body, err := c.send(ctx, base, signed)
	if err != nil {
		return Unreachable // the error goes no further: it holds the URL, and that at some exchanges the signature
	}
	switch status {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return v.read(status, body)
	}
	return Unreachable // redirected, limited, broken
}

// send makes a call and returns the answer. Its error must not be shown.
func (c *Connections) send(ctx context.Context, base string, signed call) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
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
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // of a longer one nobody understands the half
	return response.StatusCode, body, err
}

// mac is the HMAC of a text.
func mac(algorithm func() hash.Hash, key []byte, text string) []byte {
	h := hmac.New(algorithm, key)
	io.WriteString(h, text) // a hash takes everything
	return h.Sum(nil)
}
