package proxy

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// foreign returns why a request is not for this gate or comes from a foreign page, or "". A page on the internet can give its own name
// the address 127.0.0.1 (DNS rebinding). Its requests then have its name in Host.
func (p *proxy) foreign(r *http.Request) string {
	if !p.hostAllowed(r, r.Host, "80") {
		return "the header Host is not accepted; the setting allow-host names further hosts"
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 || len(origins) == 1 && (p.originListed(origins[0]) || p.ownOrigin(r, origins[0])) {
		return ""
	}
	return "the header Origin is not accepted; the setting allow-origin names further origins"
}

func (p *proxy) originListed(origin string) bool {
	return slices.ContainsFunc(p.AllowOrigins, func(listed string) bool { return strings.EqualFold(strings.TrimSuffix(listed, "/"), origin) })
}

// ownOrigin reports whether an origin is a page of an accepted host.
func (p *proxy) ownOrigin(r *http.Request, origin string) bool {
	scheme, host, found := strings.Cut(origin, "://")
	if u, err := url.Parse(origin); err != nil || !found || u.Host != host {
		return false
	}
	switch scheme {
	case "http":
		return p.hostAllowed(r, host, "80")
	case "https":
		return p.hostAllowed(r, host, "443")
	}
	return false
}

// hostAllowed reports whether host, with or without a port, is a loopback name with the port of the listener or is in AllowHosts.
func (p *proxy) hostAllowed(r *http.Request, host, defaultPort string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), defaultPort
	}
	for _, allowed := range p.AllowHosts {
		if strings.EqualFold(allowed, host) || strings.EqualFold(allowed, name) {
			return true
		}
	}
	listener, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if listener == nil {
		return false
	}
	_, own, _ := net.SplitHostPort(listener.String())
	ip := net.ParseIP(name)
	return port == own && (strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback())
}
