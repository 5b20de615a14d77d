// Command auth is the service where people sign up and sign in. It issues access tokens. The other services check them with
// the public keys in the database, so they also work while auth is down.
package main

import (
	_ "embed"
	"runtime/debug"

	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/services/auth/internal/app"
)

//go:embed openapi.yaml
var openAPI []byte

func main() {
	// Each hash allocates more memory than everything else together. With the default of 100 %, every second login waits for
	// a garbage collection, and then the time of a login seems to depend on whether its address has an account.
	debug.SetGCPercent(400)
	service.Main("auth", openAPI, app.DefaultSettings(), app.New)
}
