package doctor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
)

// exposure checks that pin-internal does not answer on the network of this machine.
func (r *Report) exposure(ctx context.Context, address string) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	address = strings.TrimSuffix(address, "/")
	if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		r.add(wrong, "PIN_INTERNAL_URL is not an http:// or https:// URL", "set it to the address at which pin-internal would answer")
		return
	}
	// The OpenAPI document needs no key. A proxy may hide it and forward other requests. pin-internal answers 401 to those, because
	// they have no key.
	status, body, err := get(ctx, address+"/openapi.yaml")
	answers := err == nil && status == http.StatusOK && strings.Contains(body, "/internal/v1/")
	if !answers {
		status, _, err = get(ctx, address+"/internal/v1/instances/"+uuid.Nil.String()+"/lookup/identity?channel=email&external_id=doctor")
		answers = err == nil && status == http.StatusUnauthorized
	}
	switch {
	case answers:
		r.add(wrong, "pin-internal answers on the network of this machine", "only agent runtimes may reach pin-internal, on a private network: publish none of its ports, let no proxy forward\npublic requests to it, and block other networks in a firewall. If this machine runs an agent, nothing is wrong")
	case err == nil:
		r.add(advice, fmt.Sprintf("another program answers at PIN_INTERNAL_URL, with status %d", status), "check which program this is")
	default:
		r.add(ok, "pin-internal does not answer on the network of this machine", "")
	}
}

func get(ctx context.Context, address string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", fmt.Errorf("making a request: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("sending a request: %w", err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(content), err
}
