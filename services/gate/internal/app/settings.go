package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/countersign/countersign/pkg/client"
)

// connection is where Countersign is, and on whose behalf the agent acts.
type connection struct {
	url                             *url.URL
	instance                        string
	proxyKey                        client.Secret
	customer, audience, skillPrefix string
}

func (c *connection) add(f flags) {
	f.url(&c.url, "countersign-url", "COUNTERSIGN_URL", "the URL of pin-internal")
	f.id(&c.instance, "instance", "COUNTERSIGN_INSTANCE", "the instance of the agent")
	f.id(&c.customer, "customer", "COUNTERSIGN_CUSTOMER", "the customer on whose behalf the agent acts")
	f.text(&c.audience, "audience", "COUNTERSIGN_AUDIENCE", "name", "the audience of the receipts; not needed if the skills are registered with one")
	c.addPrefix(f)
}

func (c *connection) addPrefix(f flags) {
	f.text(&c.skillPrefix, "skill-prefix", "COUNTERSIGN_SKILL_PREFIX", "text", "a skill's name is this text and the tool's name")
}

// open reads the proxy key and returns a client. It sends nothing. The error is a usageError.
func (c *connection) open(env environment) (*client.Client, error) {
	var err error
	if c.proxyKey, err = env.secret("COUNTERSIGN_PROXY_KEY"); err != nil {
		return nil, err
	}
	switch {
	case c.url == nil:
		return nil, missing("countersign-url", "COUNTERSIGN_URL")
	case c.instance == "":
		return nil, missing("instance", "COUNTERSIGN_INSTANCE")
	case c.proxyKey.Reveal() == "":
		return nil, usageError{errors.New("the proxy key is missing: set COUNTERSIGN_PROXY_KEY or COUNTERSIGN_PROXY_KEY_FILE")}
	}
	made, err := client.New(client.Config{URL: c.url.String(), Instance: c.instance, ProxyKey: c.proxyKey, HTTP: &http.Client{Transport: transport()}})
	if err != nil {
		return nil, usageError{err}
	}
	return made, nil
}

// transport keeps a connection for each of many calls that are judged at the same time.
func transport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	// Each call that waits for a person has a connection. The messages on it are small.
	t.ReadBufferSize, t.WriteBufferSize = 1<<10, 1<<10
	return t
}

func (c *connection) person() (client.Person, error) {
	if c.customer == "" {
		return client.Person{}, missing("customer", "COUNTERSIGN_CUSTOMER")
	}
	return client.Person{Customer: c.customer}, nil
}

func missing(flag, variable string) error {
	return usageError{fmt.Errorf("--%s or %s must be set", flag, variable)}
}

// holding is how calls are held.
type holding struct {
	wait       time.Duration
	bestStep   string
	maxMessage int
}

func newHolding() holding {
	return holding{wait: 50 * time.Second, bestStep: "elicitation", maxMessage: 16 * mebibyte}
}

func (h *holding) add(f flags) {
	f.duration(&h.wait, 0, 10*time.Minute, "wait", "COUNTERSIGN_WAIT", "how long a call waits for the person")
	f.choice(&h.bestStep, []string{"elicitation", "progress", "text"}, "best-step", "COUNTERSIGN_BEST_STEP",
		"the best way to send the link to the person; a client that does not support it gets the next one")
	f.size(&h.maxMessage, kibibyte, 64*mebibyte, "max-message", "COUNTERSIGN_MAX_MESSAGE", "the size of the largest message of a client")
}

// exposure is how the gate is reached over HTTP, and how it knows its callers.
type exposure struct {
	listen                                              string
	allowHosts, allowOrigins                            []string
	publicURL                                           *url.URL
	tokenIssuer, tokenJWKS, tokenAudience, tokenChannel string
	metricsListen, pinsFile                             string
}

func (e *exposure) add(f flags) {
	f.address(&e.listen, "listen", "COUNTERSIGN_GATE_LISTEN", "with --upstream: the address of the gate")
	f.list(&e.allowHosts, hostPattern, "gate.example.com or gate.example.com:8090", "allow-host", "COUNTERSIGN_GATE_ALLOW_HOST", "host", "with --upstream: further values of the header Host")
	f.list(&e.allowOrigins, originPattern, "https://app.example.com", "allow-origin", "COUNTERSIGN_GATE_ALLOW_ORIGIN", "origin", "with --upstream: further values of the header Origin")
	f.url(&e.publicURL, "public-url", "COUNTERSIGN_GATE_PUBLIC_URL", "with --upstream: the URL at which clients reach the gate")
	f.text(&e.tokenIssuer, "token-issuer", "COUNTERSIGN_GATE_TOKEN_ISSUER", "url", "with --upstream: who issues the access tokens of the clients; the customer is then the subject of the token")
	f.text(&e.tokenJWKS, "token-jwks", "COUNTERSIGN_GATE_TOKEN_JWKS", "url", "the keys of the issuer; without it, the issuer is asked where they are")
	f.text(&e.tokenAudience, "token-audience", "COUNTERSIGN_GATE_TOKEN_AUDIENCE", "name", "the audience that an access token must have")
	f.text(&e.tokenChannel, "token-channel", "COUNTERSIGN_GATE_TOKEN_CHANNEL", "name", "the channel on which the subject of an access token is an external id")
	f.address(&e.metricsListen, "metrics-listen", "COUNTERSIGN_GATE_METRICS_LISTEN", "the address of /healthz and /metrics")
	f.text(&e.pinsFile, "pins", "COUNTERSIGN_GATE_PINS", "file", "a file that keeps what the tools were when a call was first approved; a later change is logged")
}

// noTokens returns a usageError if settings of access tokens are given without the issuer.
func (e *exposure) noTokens() error {
	if e.tokenJWKS != "" || e.tokenAudience != "" || e.tokenChannel != "" {
		return missing("token-issuer", "COUNTERSIGN_GATE_TOKEN_ISSUER")
	}
	return nil
}
