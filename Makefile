SERVICES := auth pin-admin pin-internal
MODULES  := pkg pkg/client pkg/client/mcpguard $(SERVICES:%=services/%) services/gate deploy/countersign deploy/tests/attack deploy/tests/browser deploy/tests/docs deploy/tests/gate deploy/tests/typescript
LOCAL    := $(CURDIR)/.local
# What `make test` tests: all modules (work), or one package, for example T=./pkg/pin.
T        ?= work
FUZZTIME ?= 60s

# Without -buildvcs=false, go build fails in a checkout that another user owns.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

help: ## list the make targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start everything on this machine, with demo data
	go build -o $(LOCAL)/bin/ ./deploy/countersign $(SERVICES:%=./services/%)
	go build -o $(LOCAL)/bin/countersign-gate ./services/gate
	@exec $(LOCAL)/bin/countersign up

up: ## start everything in containers
	docker compose up --build

compose-test: ## test docker-compose.yml on a Docker engine: networks, secrets, crashes, update, restore
	deploy/tests/compose/test.sh

test: compiler $(if $(filter work,$(T)),lint) $(LOCAL)/bin/countersign ## run the linters and all tests; T=./pkg/pin: one package; RUN=TestName: one test
	$(LOCAL)/bin/countersign stores -- go test -race -timeout 15m $(if $(RUN),-run '$(RUN)' )$(T)

compiler:
	@command -v "$$(go env CC)" >/dev/null || { apt-get update -qq && apt-get install -y -qq gcc libc6-dev; } || \
		{ echo 'the race detector needs a C compiler; run: sudo apt-get install -y gcc libc6-dev'; exit 1; }

bench: $(LOCAL)/bin/countersign ## run the benchmarks; T=./services/pin-admin/...: only those of one service
	$(LOCAL)/bin/countersign stores -- go test -run '^$$' -bench . -benchmem $(T)

attack: ## attack the guess budget with faults, on real processes; RUN=TestRedis: one part; ATTACK_SEED=1: repeat a run
	cd deploy/tests/attack && go test -tags attack -count=1 -v -timeout 40m $(if $(RUN),-run '$(RUN)' ).

attack-pooled: ## run make attack through pgbouncer, without the attacks that start their own stores
	cd deploy/tests/attack && ATTACK_POOLED=1 go test -tags attack -count=1 -v -timeout 40m $(if $(RUN),-run '$(RUN)' )-skip 'RedisFailover|RedisCluster|FullDisk|LongPolls|SynchronousStandby' .

gate-test: ## test the gate with the official MCP conformance suite, Inspector and TypeScript SDKs; needs npm; RUN=TestConformance: one part
	cd deploy/tests/gate && go test -tags interop -count=1 -v -timeout 20m -run '$(or $(RUN),Conformance|Interop)' .

model: ## explore every order of guesses, approvals, uses, crashes and changes, in a model
	MODEL=large go test -count=1 -v -timeout 20m ./pkg/pin/model

fuzz: $(LOCAL)/bin/countersign ## fuzz every parser of input from outside, FUZZTIME (60s) each
	@grep -ro --include='*_fuzz_test.go' 'func Fuzz[A-Za-z]*' pkg services | sed 's|/[^/]*:func | |' | while read -r package target; do \
		echo "$$package $$target"; \
		$(LOCAL)/bin/countersign stores -- go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$package </dev/null || exit; done

mutants: $(LOCAL)/bin/countersign ## break one rule of the guess budget at a time, in a copy; a test must fail each time
	$(LOCAL)/bin/countersign stores -- go run ./deploy/tests/attack/mutants

lint: $(LOCAL)/tools ## check format, vet, staticcheck, imports, settings, documents, generated code
	@unformatted=$$(gofmt -l $(MODULES)); test -z "$$unformatted" || { echo "run gofmt -w on: $$unformatted"; exit 1; }
	go vet work
	go vet -tags attack ./deploy/tests/attack ./pkg/attackstep ./pkg/pin
	go vet -tags interop ./deploy/tests/gate
	$(LOCAL)/tools/staticcheck work
	go test -count=1 ./deploy/tests/attack/mutants
	deploy/tools/lint/imports.sh
	deploy/tools/lint/settings.sh
	deploy/tools/lint/docs.sh
	deploy/tools/lint/generated.sh

generate: $(LOCAL)/tools ## generate Go code from the OpenAPI documents
	@for s in $(dir $(wildcard services/*/oapi-codegen.yaml)); do \
		(cd $$s && $(LOCAL)/tools/oapi-codegen -config oapi-codegen.yaml openapi.yaml) || exit; done

$(LOCAL)/bin/countersign:
	go build -o $@ ./deploy/countersign

$(LOCAL)/tools: deploy/tools/go.mod deploy/tools/go.sum
	cd deploy/tools && GOWORK=off go build -o $@/ tool
	@touch $@

.PHONY: help run up compose-test test compiler bench attack attack-pooled gate-test model fuzz mutants lint generate $(LOCAL)/bin/countersign
