package web

import (
	"net/http"
	"net/netip"
	"testing"
)

var trustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

// requestFrom returns a request from a peer, with one X-Forwarded-For header for each text.
func requestFrom(peer string, forwarded ...string) *http.Request {
	return &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": forwarded}}
}

// FuzzForwarded checks that a client cannot change its own address with X-Forwarded-For.
func FuzzForwarded(f *testing.F) {
	direct, proxied := clientAddress(nil), clientAddress(trustedProxies)
	f.Fuzz(func(t *testing.T, forged string) {
		if got := direct(requestFrom("10.0.0.1:4000", forged)); got != "10.0.0.1" {
			t.Errorf("no proxy is trusted: %q", got)
		}
		if got := proxied(requestFrom("203.0.113.7:4000", forged)); got != "203.0.113.7" {
			t.Errorf("the peer is not a proxy: %q", got)
		}
		for _, forwarded := range [][]string{{forged + ",203.0.113.7"}, {forged, "203.0.113.7"}, {forged + ", 203.0.113.7 , 10.0.0.2"}, {forged, "203.0.113.7:80", "fd00::2"}} {
			if got := proxied(requestFrom("[::ffff:10.0.0.1]:4000", forwarded...)); got != "203.0.113.7" {
				t.Errorf("behind proxies, %q: %q", forwarded, got)
			}
		}
		// If the whole header comes from a trusted proxy, the result is still an address in its canonical spelling.
		got := proxied(requestFrom("10.0.0.1:4000", forged))
		if address, err := netip.ParseAddr(got); err != nil || address.Zone() != "" || address.Is4In6() || address.String() != got {
			t.Errorf("%q: %q", forged, got)
		}
	})
}
