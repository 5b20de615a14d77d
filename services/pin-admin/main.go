// Command pin-admin is the service for dashboards: customers, instances, their PINs and keys, policies and the audit trail.
package main

import (
	_ "embed"

	"github.com/countersign/countersign/pkg/service"
	"github.com/countersign/countersign/services/pin-admin/internal/app"
)

//go:embed openapi.yaml
var openAPI []byte

func main() { service.Main("pin-admin", openAPI, app.DefaultSettings(), app.New) }
