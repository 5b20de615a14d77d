package service

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// answerTime is longer than readyTime, so that a service that waits for its stores can still answer.
const answerTime = 3 * time.Second

// AskReady returns nil when the service on this machine that uses opsAddr as its OPS_LISTEN_ADDR says that it is ready.
func AskReady(ctx context.Context, opsAddr string) error {
	host, port, err := net.SplitHostPort(opsAddr)
	if err != nil {
		return fmt.Errorf("asking whether the service is ready: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("asking whether the service is ready: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking whether the service is ready: %w", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the service is not ready: /readyz answers %s", resp.Status)
	}
	return nil
}
