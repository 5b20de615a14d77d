SERVICES := auth pin-admin pin-internal
MODULES  := pkg $(SERVICES:%=services/%) deploy/countersign deploy/tests/attack deploy/tests/browser
LOCAL    := $(CURDIR)/.local
# What `make test` tests: every module, or one package as T=./pkg/pin, or one test as RUN=TestName.
T        ?= work
FUZZTIME ?= 60s

# A checkout that belongs to another user builds too.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## the whole stack on this machine, with demo data
	go build -o $(LOCAL)/bin/ ./deploy/countersign $(SERVICES:%=./services/%)
	@exec $(LOCAL)/bin/countersign up

up: ## the whole stack in containers
	docker compose up --build

compose-test: ## what docker-compose.yml promises, on a real engine: networks, secrets, crashes, an update, a restored backup
	deploy/tests/compose/test.sh

test: compiler $(if $(filter work,$(T)),lint) $(LOCAL)/bin/countersign ## lint, then every test: T=./pkg/pin for one package, RUN=Name for one test
	$(LOCAL)/bin/countersign stores -- go test -race -timeout 15m $(if $(RUN),-run '$(RUN)' )$(T)

compiler:
	@command -v "$$(go env CC)" >/dev/null || { apt-get update -qq && apt-get install -y -qq gcc libc6-dev; } || \
		{ echo 'the race detector needs a C compiler; type: sudo apt-get install -y gcc libc6-dev'; exit 1; }

bench: $(LOCAL)/bin/countersign ## the benchmarks
	$(LOCAL)/bin/countersign stores -- go test -run '^$$' -bench . -benchmem $(T)

attack: ## one guess too many, tried with faults on real processes: RUN=TestRedis for a part, ATTACK_SEED=1 for the same again
	cd deploy/tests/attack && go test -tags attack -count=1 -v -timeout 40m $(if $(RUN),-run '$(RUN)' ).

attack-pooled: ## the same through a pgbouncer in transaction mode, but for attacks that bring stores of their own
	cd deploy/tests/attack && ATTACK_POOLED=1 go test -tags attack -count=1 -v -timeout 40m $(if $(RUN),-run '$(RUN)' )-skip 'FailsOver|Cluster|FullDisk|TenThousandWait' .

model: ## every order in which guesses, crashes and changes can meet, in a small world
	MODEL=large go test -count=1 -v ./pkg/pin/model

fuzz: $(LOCAL)/bin/countersign ## every parser of outside input, FUZZTIME (60s) each
	@grep -ro --include='*_fuzz_test.go' 'func Fuzz[A-Za-z]*' pkg services | sed 's|/[^/]*:func | |' | while read -r package target; do \
		echo "$$package $$target"; \
		$(LOCAL)/bin/countersign stores -- go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$package </dev/null || exit; done

mutants: $(LOCAL)/bin/countersign ## the guess budget broken on purpose, in a copy: every break has to be noticed
	$(LOCAL)/bin/countersign stores -- go run ./deploy/tests/attack/mutants

lint: $(LOCAL)/tools ## format, vet, staticcheck, who imports whom, generated code
	@unformatted=$$(gofmt -l $(MODULES)); test -z "$$unformatted" || { echo "run gofmt -w on: $$unformatted"; exit 1; }
	go vet work
	go vet -tags attack ./deploy/tests/attack ./pkg/pin
	$(LOCAL)/tools/staticcheck work
	deploy/tools/lint/imports.sh
	deploy/tools/lint/settings.sh
	deploy/tools/lint/generated.sh

generate: $(LOCAL)/tools ## Go code from the OpenAPI documents
	@for s in $(dir $(wildcard services/*/oapi-codegen.yaml)); do \
		(cd $$s && $(LOCAL)/tools/oapi-codegen -config oapi-codegen.yaml openapi.yaml) || exit; done

$(LOCAL)/bin/countersign:
	go build -o $@ ./deploy/countersign

$(LOCAL)/tools: deploy/tools/go.mod deploy/tools/go.sum
	cd deploy/tools && GOWORK=off go build -o $@/ tool
	@touch $@

.PHONY: help run up compose-test test compiler bench attack attack-pooled model fuzz mutants lint generate $(LOCAL)/bin/countersign
