# make demo and make test are the two commands of the README. All that is needed is Go, git and make; tools come as Go modules.

GO       ?= go
BIN      := bin
RACED    := . cmd/kycsim signing/judge
MODULES  := $(RACED) dashboards/ruletest
LINT     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 30s
KILLS    ?= 100

.PHONY: build demo test check fuzz bench soak soak-control lint generate format clean

build: ## the gateway and the simulator, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/countersign ./cmd/countersign
	CGO_ENABLED=0 $(GO) -C cmd/kycsim build -trimpath -o ../../$(BIN)/kycsim .

demo: ## a whole round trip on this machine
	@$(GO) run ./cmd/countersign demo

test: ## every module's tests
	@for m in $(MODULES); do echo "== $$m"; $(GO) -C $$m test -count=1 ./... || exit 1; done

check: format lint ## what must be green before a change lands
	@for m in $(MODULES); do echo "== $$m"; $(GO) -C $$m vet ./... || exit 1; done
	@for m in $(RACED); do echo "== $$m"; $(GO) -C $$m test -race -shuffle=on -count=1 ./... || exit 1; done

format:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }

lint:
	@$(GO) run $(LINT) run ./...
	@cd cmd/kycsim && $(GO) run $(LINT) run --config ../../.golangci.yml ./...

fuzz: ## every fuzz target for FUZZTIME, and each adapter's parser by itself
	@for p in $$($(GO) list ./... | grep -v '/ingest/provider$$'); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
		echo "== $$p $$f"; .ci/fuzz $$p $$f $(FUZZTIME) || exit 1; done; done
	@for f in $$($(GO) test -list '^Fuzz' ./ingest/provider | grep '^Fuzz'); do \
		adapters=any; [ $$f = FuzzTranslate ] && adapters=$$(ls -d ingest/provider/testdata/*/samples | cut -d/ -f4); for a in $$adapters; do \
		echo "== ingest/provider $$f $$a"; $(GO) clean -fuzzcache; \
		COUNTERSIGN_FUZZ_ADAPTER=$${a#any} .ci/fuzz ./ingest/provider $$f $(FUZZTIME) || exit 1; done; done

bench: build ## figures against limits measured in the same run
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_nojournal -o $(BIN)/countersign-nojournal ./cmd/countersign
	dir=$$(mktemp -d) && $(BIN)/kycsim bench --gateway $(BIN)/countersign --limit-gateway $(BIN)/countersign-nojournal --dir $$dir; code=$$?; rm -rf $$dir; exit $$code

soak: build ## 100 times kill -9 under load
	dir=$$(mktemp -d) && $(BIN)/kycsim soak --gateway $(BIN)/countersign --kills $(KILLS) --rate 500 --dir $$dir/soak && rm -rf $$dir # kept if it fails

soak-control: build ## the same with a gateway that answers before the commit: must find losses
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_ackearly -o $(BIN)/countersign-ackearly ./cmd/countersign
	dir=$$(mktemp -d) && $(BIN)/kycsim soak --gateway $(BIN)/countersign-ackearly --kills 10 --rate 500 --dir $$dir/soak --expect-failure && rm -rf $$dir

generate: ## what is generated: the dashboard and the table of config keys
	$(GO) generate ./...
	$(GO) test ./cmd/countersign -run TestConfigTable -update

clean:
	rm -rf $(BIN)
