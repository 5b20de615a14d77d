package ratelimit

import "net/netip"

// Networks returns the networks of a client's address, from the narrowest to the widest: for IPv4 the address itself; for IPv6 the
// /64, the /56 and the /48. An IPv6 customer gets one /64, or a /56 or a /48 with up to 65,536 of them (RFC 6177). So a limit for
// each /64 alone does not limit such a customer. A text that is not an address is its own network.
func Networks(address string) []string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return []string{address}
	}
	var networks []string
	for _, bits := range []int{64, 56, 48} {
		network, _ := ip.Prefix(bits) // bits is within the 128 bits of an IPv6 address
		networks = append(networks, network.String())
	}
	return networks
}
