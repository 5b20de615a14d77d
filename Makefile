SERVICES := auth pin-admin pin-internal
MODULES  := pkg $(SERVICES:%=services/%) deploy/countersign
LOCAL    := $(CURDIR)/.local
# What `make test` tests: every module, or one package as T=./pkg/pin, or one test as RUN=TestName.
T        ?= work

# The race detector needs a C compiler.
RACE     := $(if $(shell command -v "$$(go env CC)"),-race)

# A checkout that belongs to another user builds too.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## the whole stack on this machine, with demo data
	go build -o $(LOCAL)/bin/ ./deploy/countersign $(SERVICES:%=./services/%)
	@exec $(LOCAL)/bin/countersign up

up: ## the whole stack in containers
	docker compose up --build

test: $(if $(filter work,$(T)),lint) $(LOCAL)/bin/countersign ## lint, then every test: T=./pkg/pin for one package, RUN=Name for one test
	$(LOCAL)/bin/countersign stores -- go test $(RACE) $(if $(RUN),-run '$(RUN)' )$(T)

bench: $(LOCAL)/bin/countersign ## the benchmarks
	$(LOCAL)/bin/countersign stores -- go test -run '^$$' -bench . -benchmem $(T)

lint: $(LOCAL)/tools ## format, vet, staticcheck, who imports whom, generated code
	@unformatted=$$(gofmt -l $(MODULES)); test -z "$$unformatted" || { echo "run gofmt -w on: $$unformatted"; exit 1; }
	go vet work
	$(LOCAL)/tools/staticcheck work
	deploy/tools/lint/imports.sh
	deploy/tools/lint/generated.sh

generate: $(LOCAL)/tools ## Go code from the OpenAPI documents
	@for s in $(dir $(wildcard services/*/oapi-codegen.yaml)); do \
		(cd $$s && $(LOCAL)/tools/oapi-codegen -config oapi-codegen.yaml openapi.yaml) || exit; done

$(LOCAL)/bin/countersign:
	go build -o $@ ./deploy/countersign

$(LOCAL)/tools: deploy/tools/go.mod deploy/tools/go.sum
	cd deploy/tools && GOWORK=off go build -o $@/ tool
	@touch $@

.PHONY: help run up test bench lint generate $(LOCAL)/bin/countersign
