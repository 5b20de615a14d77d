module github.com/countersign/countersign/deploy/tests/gate

go 1.26.8

require (
	github.com/countersign/countersign/pkg v0.0.0
	github.com/countersign/countersign/pkg/client v0.0.0
	github.com/modelcontextprotocol/go-sdk v1.8.0
)

require (
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/google/jsonschema-go v0.4.3 // indirect
	github.com/gowebpki/jcs v1.0.2 // indirect
	github.com/lib/pq v1.12.3 // indirect
	github.com/segmentio/asm v1.1.3 // indirect
	github.com/segmentio/encoding v0.5.4 // indirect
	github.com/yosida95/uritemplate/v3 v3.0.2 // indirect
	golang.org/x/oauth2 v0.35.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace github.com/countersign/countersign/pkg => ../../../pkg

replace github.com/countersign/countersign/pkg/client => ../../../pkg/client
