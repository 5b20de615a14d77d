module github.com/countersign/countersign/deploy/tests/typescript

go 1.26.8

require (
	github.com/countersign/countersign/pkg v0.0.0
	github.com/countersign/countersign/pkg/client v0.0.0
	github.com/golang-jwt/jwt/v5 v5.3.1
)

require (
	github.com/gowebpki/jcs v1.0.2 // indirect
	github.com/lib/pq v1.12.3 // indirect
)

replace github.com/countersign/countersign/pkg => ../../../pkg

replace github.com/countersign/countersign/pkg/client => ../../../pkg/client
