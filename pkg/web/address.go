package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// clientAddress tells where a request comes from. Each proxy appends the address that it heard the request from, so the
// list is read from its right end, and only for as long as whoever wrote the entry is trusted: what stands left of the
// first stranger is that stranger's word. What cannot be read ends the list.
func clientAddress(trusted []netip.Prefix) echo.IPExtractor {
	return func(r *http.Request) string {
		client, ok := hop(r.RemoteAddr)
		if !ok {
			return ""
		}
		var forwarded []string
		if trusts(trusted, client) {
			forwarded = strings.Split(strings.Join(r.Header.Values(echo.HeaderXForwardedFor), ","), ",")
		}
		for _, text := range slices.Backward(forwarded) {
			before, ok := hop(strings.TrimSpace(text))
			if !ok || !trusts(trusted, client) {
				break
			}
			client = before
		}
		return client.String()
	}
}

func trusts(proxies []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// hop reads an address, with a port or without. One address has one spelling.
func hop(text string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(text)
	if err != nil {
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(text)
		address = withPort.Addr()
	}
	return address.Unmap().WithZone(""), err == nil
}
