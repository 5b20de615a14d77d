package doctor

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// forwardedIgnored is the metric web.ForwardedIgnored of the services.
const forwardedIgnored = "http_forwarded_ignored_total"

// proxies checks that no service ignored the X-Forwarded-For of a proxy since it started. It reads the metrics on the operations
// ports.
func (r *Report) proxies(ctx context.Context, addresses []string) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	for _, address := range addresses {
		address = strings.TrimSuffix(strings.TrimSpace(address), "/")
		status, body, err := get(ctx, address+"/metrics")
		ignored, found := metric(body, forwardedIgnored)
		switch {
		case err != nil:
			r.add(advice, "a service of OPS_URLS does not answer: "+err.Error(), "check that the service runs, and that OPS_URLS has the addresses of the operations ports")
		case status != http.StatusOK || !found:
			r.add(wrong, address+" is not the operations port of a service", "set OPS_URLS to the addresses of the operations ports, for example http://auth:9081")
		case ignored > 0:
			r.add(advice, fmt.Sprintf("%s ignored the X-Forwarded-For of %.0f requests, because their sender is not in TRUSTED_PROXIES", address, ignored),
				"if there is a proxy in front of this service, add its network to TRUSTED_PROXIES: otherwise all people have the address of the\nproxy, share one rate limit, and can lock each other out. If there is no proxy, clients made the header up, and nothing is wrong")
		default:
			r.add(ok, address+" ignored no X-Forwarded-For", "")
		}
	}
}

// metric returns the value of a metric without labels in Prometheus's text format.
func metric(text, name string) (value float64, found bool) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if number, is := strings.CutPrefix(lines.Text(), name+" "); is {
			value, err := strconv.ParseFloat(number, 64)
			return value, err == nil
		}
	}
	return 0, false
}
