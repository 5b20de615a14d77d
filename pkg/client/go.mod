module github.com/countersign/countersign/pkg/client

go 1.26.8

require (
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/gowebpki/jcs v1.0.2
)
