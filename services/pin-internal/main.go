// Command pin-internal is the service for agent runtimes on the private network. It says whether a PIN is needed, verifies
// PINs, and says whether a confirmation is still valid.
package main

import (
	_ "embed"

	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/services/pin-internal/internal/app"
)

//go:embed openapi.yaml
var openAPI []byte

func main() { service.Main("pin-internal", openAPI, app.DefaultSettings(), app.New) }
