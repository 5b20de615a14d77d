module github.com/countersign/countersign/deploy/tests/docs

go 1.26.8

require github.com/countersign/countersign/pkg v0.0.0

require github.com/lib/pq v1.12.3 // indirect

replace github.com/countersign/countersign/pkg => ../../../pkg

replace github.com/countersign/countersign/pkg/client => ../../../pkg/client
