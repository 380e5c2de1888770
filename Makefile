# The verbs of the house. `make help` prints them; variables that change a verb stand in its line.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The toolchain that is installed, and nothing fetched behind our back.
export GOTOOLCHAIN := local

ROOT := $(CURDIR)
RUN := $(ROOT)/.run
LOCAL := $(RUN)/bin/local
BUF := GOWORK=off go tool -C proto -modfile=tools/go.mod buf
LINTER := $(ROOT)/bin/golangci-lint
# Modules outside the workspace: they stand outside the services and take nothing from them but programs.
OUTSIDE := deploy/local deploy/e2e deploy/bench
PROGRAMS := ./services/ingest/cmd/ingest ./services/compliance/cmd/compliance ./services/dispatch/cmd/dispatch \
	./services/audit/cmd/audit ./services/dispatch/cmd/smscsim \
	./services/internal/tlsconf/cmd/devca ./services/internal/eventbus/cmd/natsgrants
# Time for each fuzz target, as go test -fuzztime takes it.
FUZZTIME ?= 20s
# Names of the fuzz targets to run, as a regular expression.
FUZZ ?= Fuzz[A-Za-z0-9_]+

.PHONY: help generate lint test e2e bench bench-compliance bench-preference soak fuzz build up keys down reset

help: ## print this help
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

generate: ## make proto/gen and proto/openapi again from the .proto files
	@GOWORK=off go generate -C proto ./...

lint: $(LINTER) ## gofmt, go vet, golangci-lint (import walls included), buf lint
	@files=$$(git ls-files -z '*.go' ':!proto/gen' | xargs -0 -r gofmt -l); \
		if [ -n "$$files" ]; then echo "gofmt -w these files:"; echo "$$files"; exit 1; fi
	@go vet work
	@for module in $(OUTSIDE); do GOWORK=off go vet -C $$module -tags e2e ./...; done
	@$(LINTER) run --allow-parallel-runners $$(go list -m -f '{{.Dir}}/...')
	@for module in $(OUTSIDE); do (cd $$module && GOWORK=off $(LINTER) run --allow-parallel-runners --config $(ROOT)/.golangci.yml --build-tags e2e ./...); done
	@$(BUF) lint

# The linter is built from its pinned module: run as `go tool` it would hand GOWORK=off on to the loader.
$(LINTER): deploy/tools/go.mod deploy/tools/go.sum
	@GOWORK=off go build -C deploy/tools -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

test: ## unit and integration tests of all modules, with the race detector (TESTFLAGS=-short for less)
	@go test -race -timeout 25m $(TESTFLAGS) work
	@for module in $(OUTSIDE); do GOWORK=off go test -C $$module -race -timeout 25m $(TESTFLAGS) ./...; done

e2e: ## black-box and crash tests against a platform of their own (SHORT=1 for fewer messages, RUN_TEST=name for one test)
	@GOWORK=off go test -C deploy/e2e -tags e2e -count=1 -timeout 30m -v $(if $(SHORT),-short) $(if $(RUN_TEST),-run '$(RUN_TEST)') ./...

bench: ## benchmark of the whole platform, one JSON line last (BASE=ref compares, BENCH_MESSAGES=n for a shorter run)
	@mkdir -p bin && GOWORK=off go build -C deploy/bench -o $(ROOT)/bin/bench .
	@exec bin/bench

# Each benchmark lets both sides take turns and tells the ratio of their medians (x-…) and the goal for it (x-goal). They are
# listed again at the end; a ratio below its goal fails the verb. At full size a million pairs of template and text are
# compared with RE2 first.
bench-compliance: ## ratios of the compliance engine to their baselines, below a goal it fails (SHORT=1 smaller, fails for none, RUN_BENCH=B2 for some)
	@$(if $(SHORT),,ONLINESMS_PAIRS=1000000 go test -C services/compliance/internal/template -count=1 -timeout 20m -v -run AgreesWithRE2 .)
	@mkdir -p bin && grep -rl --include='*_test.go' '^func BenchmarkRatio' services | xargs -n 1 dirname | sort -u | \
		while read -r package; do \
			$(if $(SHORT),,ONLINESMS_BENCH_FULL=1) go test -C "$$package" -count=1 -timeout 30m -run '^$$' -bench 'BenchmarkRatio$(RUN_BENCH)' -benchtime $(if $(SHORT),5x,11x) . || exit 1; \
		done | tee bin/bench-compliance.txt
	@awk '/x-goal/ { ratio = goal = 0; for (i = 3; i < NF; i += 2) { if ($$(i+1) == "x-goal") goal = $$i; else if ($$(i+1) ~ /^x-/) ratio = $$i } \
		sub(/^BenchmarkRatio/, "", $$1); below = ratio + 0 < goal + 0; missed = missed || below; \
		printf "%-40s %12.4g  goal %-10.4g %s\n", $$1, ratio, goal, $(if $(SHORT),"",below ? "MISSED" : "met") } \
		END { exit $(if $(SHORT),0,missed) }' bin/bench-compliance.txt

soak: ## a million webhooks with failures and killed senders (SOAK_EVENTS=n for fewer)
	@SOAK_EVENTS=$(or $(SOAK_EVENTS),1000000) go test -count=1 -timeout 6h -v -run 'TestItem52NothingIsLost' ./services/dispatch/internal/webhook

# The whole country: about 7 GB of memory, 3 GB of disk and a quarter of an hour.
PREFERENCE_SCALE ?= 300000000

bench-preference: ## preference register and suppression lists against roaring and PostgreSQL (PREFERENCE_SCALE=300000000 numbers)
	@PREFERENCE_SCALE=$(PREFERENCE_SCALE) go test -C services/compliance/internal/preference -count=1 -timeout 60m -run '^$$' -bench BenchmarkRatio -benchtime 11x .

fuzz: ## every fuzz target for FUZZTIME (20s); FUZZ='A|B' for those of these names
	@grep -rHoE --include='*_test.go' '^func ($(FUZZ))\(' services client deploy 2>/dev/null | sed 's/:func /:/; s/($$//' | sort | \
		while IFS=: read -r file target; do \
			echo "$$target ($$(dirname $$file))"; \
			go test -C "$$(dirname $$file)" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) .; \
		done

build: ## the production programs, static, into bin/
	@mkdir -p bin && CGO_ENABLED=0 go build -trimpath -o bin/ $(PROGRAMS)
	@GOWORK=off CGO_ENABLED=0 go build -C deploy/local -trimpath -o $(ROOT)/bin/local .

up: $(LOCAL) ## start everything here and send one message (DETACH=1, SMSC=host:port, POSTGRES_URL=url, REPLICAS=2)
	@exec $(LOCAL) up

keys: $(LOCAL) ## replace those demo keys of the running platform that no longer work (one sent over plain HTTP is revoked)
	@exec $(LOCAL) keys

down: $(LOCAL) ## stop everything, leave no process
	@exec $(LOCAL) down

reset: $(LOCAL) ## stop everything and drop all data
	@exec $(LOCAL) reset

.PHONY: $(LOCAL)
$(LOCAL):
	@mkdir -p $(@D) && GOWORK=off CGO_ENABLED=0 go build -C deploy/local -o $@ .
