// Package ready asks a service whether it is ready, as its container's health check and whoever starts it do.
package ready

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// within is longer than a service takes to look at its stores.
const within = 3 * time.Second

// Ask returns nil when the service that listens on this operations address, as OPS_LISTEN_ADDR gives it, says on this
// machine that it is ready.
func Ask(ctx context.Context, opsAddr string) error {
	host, port, err := net.SplitHostPort(opsAddr)
	if err != nil {
		return fmt.Errorf("asking whether it is ready: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("asking whether it is ready: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking whether it is ready: %w", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it is not ready: it answers %s", resp.Status)
	}
	return nil
}
