package web

import (
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// clientAddress returns the address of a request's client. Each proxy appends to X-Forwarded-For the address that sent it the
// request. So the header is read from right to left, as long as the address that wrote the entry is a trusted proxy. A
// client can forge every entry further left. A malformed entry ends the list.
func clientAddress(trusted []netip.Prefix) echo.IPExtractor {
	return func(r *http.Request) string {
		client, ok := parseAddress(r.RemoteAddr)
		if !ok {
			return ""
		}
		var forwarded []string
		if trusts(trusted, client) {
			forwarded = strings.Split(strings.Join(r.Header.Values(echo.HeaderXForwardedFor), ","), ",")
		}
		for _, text := range slices.Backward(forwarded) {
			previous, ok := parseAddress(strings.TrimSpace(text))
			if !ok || !trusts(trusted, client) {
				break
			}
			client = previous
		}
		return client.String()
	}
}

// reportForwarded counts the requests whose X-Forwarded-For is ignored, because the address that sent the request is not a trusted
// proxy. The first one also writes a log line. If that address is a proxy of the deployment, TRUSTED_PROXIES is wrong: then all
// clients have the address of the proxy. Otherwise a client has made the header up. The line has no address, because it may be
// that of a client.
func reportForwarded(trusted []netip.Prefix, log *slog.Logger, registry prometheus.Registerer) echo.MiddlewareFunc {
	ignored := prometheus.NewCounter(prometheus.CounterOpts{Name: ForwardedIgnored, Help: "Requests with an X-Forwarded-For from an address that is not in TRUSTED_PROXIES."})
	registry.MustRegister(ignored)
	var first sync.Once
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			if len(r.Header.Values(echo.HeaderXForwardedFor)) > 0 {
				if peer, ok := parseAddress(r.RemoteAddr); !ok || !trusts(trusted, peer) {
					ignored.Inc()
					first.Do(func() {
						log.Warn("X-Forwarded-For is ignored, because its sender is not in TRUSTED_PROXIES; if the sender is your proxy, add its network", "metric", ForwardedIgnored)
					})
				}
			}
			return next(c)
		}
	}
}

// ForwardedIgnored is the name of a metric, which the doctor reads: requests whose X-Forwarded-For was ignored.
const ForwardedIgnored = "http_forwarded_ignored_total"

func trusts(proxies []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// parseAddress parses an address, with a port or without. It returns one spelling for each address.
func parseAddress(text string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(text)
	if err != nil {
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(text)
		address = withPort.Addr()
	}
	return address.Unmap().WithZone(""), err == nil
}
