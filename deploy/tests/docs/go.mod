module github.com/countersign/countersign/deploy/tests/docs

go 1.26.8

require github.com/countersign/countersign/pkg v0.0.0

require (
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/gowebpki/jcs v1.0.2 // indirect
)

require (
	github.com/countersign/countersign/pkg/client v0.0.0
	github.com/lib/pq v1.12.3 // indirect
)

replace github.com/countersign/countersign/pkg => ../../../pkg

replace github.com/countersign/countersign/pkg/client => ../../../pkg/client
