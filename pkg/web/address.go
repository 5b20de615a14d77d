package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
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
