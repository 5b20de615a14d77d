package api

import (
	"errors"
	"fmt"
	"testing"
)

func TestPlacesForLargeBodiesAreLimitedPerNetwork(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		address func(i int) string
		want    int
	}{
		"one IPv4 address":       {func(int) string { return "203.0.113.7" }, 8},
		"many IPv4 addresses":    {func(i int) string { return fmt.Sprintf("203.0.113.%d", i) }, 64},
		"one IPv6 /64":           {func(i int) string { return fmt.Sprintf("2001:db8::%x", i) }, 8},
		"one IPv6 /56":           {func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i) }, 16},
		"one IPv6 /48":           {func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i<<8) }, 32},
		"many IPv6 /48":          {func(i int) string { return fmt.Sprintf("2001:db8:%x::1", i) }, 64},
		"a peer without address": {func(int) string { return "" }, 8},
	} {
		var b largeBodies
		for round := range 2 {
			var taken []string
			for i := range 100 {
				err := b.take(rule.address(i))
				if err == nil {
					taken = append(taken, rule.address(i))
				} else if !errors.Is(err, errLargeBodies) {
					t.Fatal(err)
				}
			}
			if len(taken) != rule.want {
				t.Errorf("%s, round %d: %d places, want %d", name, round, len(taken), rule.want)
			}
			for _, address := range taken {
				b.release(address)
			}
		}
		if b.taken != 0 || len(b.perNetwork) != 0 {
			t.Errorf("%s: %d places are taken after the release, by %v", name, b.taken, b.perNetwork)
		}
	}
}
