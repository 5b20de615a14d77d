package receipt

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// keysFresh is how long keys are used without asking for them again. The issuer allows caches to keep them as long.
	keysFresh = 5 * time.Minute
	// keysUsable is how long keys are used while the issuer cannot be reached.
	keysUsable = time.Hour
	// keysPause is the least time between two requests, also when receipts name unknown keys or requests fail.
	keysPause = 5 * time.Second
	// keysTimeout limits one request.
	keysTimeout  = 5 * time.Second
	maxKeysBytes = 64 << 10
)

// keys are the issuer's public keys, kept in memory.
type keys struct {
	url    string
	client *http.Client
	now    func() time.Time
	// current is what the last successful request returned, or nil.
	current atomic.Pointer[keySet]
	// turn holds one value while nobody asks the issuer. Only its holder uses the fields below.
	turn    chan struct{}
	tried   time.Time // end of the last request
	failure error     // its error, or nil
}

type keySet struct {
	byID map[string]ed25519.PublicKey
	read time.Time
}

func newKeys(url string, client *http.Client) *keys {
	k := &keys{url: url, client: &http.Client{}, now: time.Now, turn: make(chan struct{}, 1)}
	if client != nil {
		*k.client = *client
	}
	// A redirect could lead to an address without https.
	k.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	k.turn <- struct{}{}
	return k
}

// get returns the key with the id. It reads the keys from the issuer if the key is unknown or the keys are old, at most once in
// keysPause. The error is ErrInvalid if the issuer does not have the key.
func (k *keys) get(ctx context.Context, id string) (ed25519.PublicKey, error) {
	if key := k.kept(id, keysFresh); key != nil {
		return key, nil
	}
	select {
	case <-k.turn:
		defer func() { k.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the receipt keys: %w", ctx.Err())
	}
	if k.kept(id, keysFresh) == nil && (k.tried.IsZero() || k.now().Sub(k.tried) >= keysPause) {
		byID, err := k.fetch(ctx)
		if err != nil && ctx.Err() != nil {
			return nil, err // it says nothing about the issuer, so the next caller tries again
		}
		k.tried, k.failure = k.now(), err
		if err == nil {
			k.current.Store(&keySet{byID: byID, read: k.tried})
		}
	}
	if key := k.kept(id, keysUsable); key != nil {
		return key, nil
	}
	if k.failure != nil {
		return nil, k.failure
	}
	return nil, fmt.Errorf("%w: the issuer does not have its key", ErrInvalid)
}

// kept returns the key with the id if it was read at most maxAge ago, and otherwise nil.
func (k *keys) kept(id string, maxAge time.Duration) ed25519.PublicKey {
	set := k.current.Load()
	if set == nil || k.now().Sub(set.read) > maxAge {
		return nil
	}
	return set.byID[id]
}

func (k *keys) fetch(ctx context.Context) (map[string]ed25519.PublicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, fmt.Errorf("reading the receipt keys: %w", err)
	}
	answer, err := k.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading the receipt keys: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading the receipt keys: status %d", answer.StatusCode)
	}
	var set struct {
		Keys []struct {
			Type  string `json:"kty"`
			Curve string `json:"crv"`
			ID    string `json:"kid"`
			X     string `json:"x"`
		} `json:"keys"`
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxKeysBytes)).Decode(&set); err != nil {
		return nil, fmt.Errorf("reading the receipt keys: %w", err)
	}
	byID := map[string]ed25519.PublicKey{}
	for _, key := range set.Keys {
		public, err := base64.RawURLEncoding.DecodeString(key.X)
		if key.Type == "OKP" && key.Curve == "Ed25519" && err == nil && len(public) == ed25519.PublicKeySize {
			byID[key.ID] = public
		}
	}
	return byID, nil
}

// checkIssuer accepts an https URL, and an http URL of this machine.
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(issuer, "/") {
		return errors.New("the issuer of receipts must be a URL without a slash at the end, a query and a fragment")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return errors.New("the issuer of receipts must be an https URL, or an http URL of this machine")
	}
	return nil
}
