package local

import (
	"fmt"
	"os"
	"strconv"

	"github.com/countersign/countersign/pkg/testkit/localstores"
)

const (
	defaultPortBase = 8080
	opsOffset       = 1000
	postgresOffset  = 1004
	redisOffset     = 1005
)

// portBase reads PORT_BASE, to which every port of the stack adds a constant.
func portBase() (int, error) {
	text := os.Getenv("PORT_BASE")
	if text == "" {
		return defaultPortBase, nil
	}
	base, err := strconv.Atoi(text)
	if err != nil || base < 1024 || base+redisOffset > 65535 {
		return 0, fmt.Errorf("PORT_BASE must be a number from 1024 to %d", 65535-redisOffset)
	}
	return base, nil
}

func portTaken(what string, port int) error {
	return fmt.Errorf("port %d, for %s, is in use by another program; use other ports, for example: PORT_BASE=%d make run", port, what, 18080)
}

// requireFree returns an error unless both ports of each service are free. The ports of the stores are checked when the stores
// start, because starting a store first ends its process of an earlier run.
func requireFree(base int) error {
	for i, name := range serviceNames {
		for _, port := range []int{base + 1 + i, base + 1 + i + opsOffset} {
			if !localstores.PortFree(port) {
				return portTaken(name, port)
			}
		}
	}
	return nil
}

func localURL(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }
