module github.com/countersign/countersign/deploy/tests/browser

go 1.26.8

require (
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.22.1
	github.com/countersign/countersign/pkg v0.0.0
	github.com/lib/pq v1.12.3
	github.com/pquerna/otp v1.5.0
)

require github.com/stretchr/testify v1.12.1 // indirect

require (
	github.com/boombuler/barcode v1.0.1-0.20190219062509-6c824513bacc // indirect
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
)

replace github.com/countersign/countersign/pkg => ../../../pkg

replace github.com/countersign/countersign/pkg/client => ../../../pkg/client
