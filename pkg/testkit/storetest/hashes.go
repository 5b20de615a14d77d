package storetest

import (
	"os"
	"slices"
	"strings"

	"github.com/countersign/countersign/pkg/slowhash"
)

var production = slowhash.CurrentParams

// Tests make thousands of hashes. With the parameters of production and the race detector, these took most of the time of `make test`.
// The tests of pkg/slowhash, the benchmarks, and the tests with whole processes use the parameters of production.
func init() {
	measures := func(argument string) bool { return strings.HasPrefix(argument, "-test.bench=") }
	if !slices.ContainsFunc(os.Args, measures) {
		slowhash.CurrentParams = slowhash.Params{MemoryKiB: 1024, Passes: 1, Threads: 1}
	}
}

// HashAsInProduction makes this process hash with the parameters of production. Call it in TestMain, before any test runs.
func HashAsInProduction() { slowhash.CurrentParams = production }
