package web

import (
	"net/http"
	"net/netip"
	"testing"
)

var inside = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

// heardFrom is a request of this peer, with one X-Forwarded-For header for each text.
func heardFrom(peer string, forwarded ...string) *http.Request {
	return &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": forwarded}}
}

// FuzzForwarded: what a client writes into X-Forwarded-For never changes which address it is taken to come from.
func FuzzForwarded(f *testing.F) {
	direct, proxied := clientAddress(nil), clientAddress(inside)
	f.Fuzz(func(t *testing.T, claimed string) {
		if got := direct(heardFrom("10.0.0.1:4000", claimed)); got != "10.0.0.1" {
			t.Errorf("no proxy is trusted: %q", got)
		}
		if got := proxied(heardFrom("203.0.113.7:4000", claimed)); got != "203.0.113.7" {
			t.Errorf("the peer is no proxy: %q", got)
		}
		for _, forwarded := range [][]string{{claimed + ",203.0.113.7"}, {claimed, "203.0.113.7"}, {claimed + ", 203.0.113.7 , 10.0.0.2"}, {claimed, "203.0.113.7:80", "fd00::2"}} {
			if got := proxied(heardFrom("[::ffff:10.0.0.1]:4000", forwarded...)); got != "203.0.113.7" {
				t.Errorf("behind proxies, %q: %q", forwarded, got)
			}
		}
		// Even what only trusted proxies can have said is an address, in its one spelling.
		got := proxied(heardFrom("10.0.0.1:4000", claimed))
		if address, err := netip.ParseAddr(got); err != nil || address.Zone() != "" || address.Is4In6() || address.String() != got {
			t.Errorf("%q: %q", claimed, got)
		}
	})
}
