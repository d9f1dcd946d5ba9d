# make demo and make test are the two commands of the README. All that is needed is Go, git and make; tools come as Go modules.

GO       ?= go
BIN      := bin
MODULES  := . cmd/kycsim signing/judge dashboards/ruletest
LINT     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 30s

.PHONY: build demo test check fuzz bench soak soak-control lint format clean

build: ## the gateway and the simulator, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/countersign ./cmd/countersign
	CGO_ENABLED=0 $(GO) -C cmd/kycsim build -trimpath -o ../../$(BIN)/kycsim .

demo: ## a whole round trip on this machine
	@$(GO) run ./cmd/countersign demo

test: ## every module's tests
	@for m in $(MODULES); do echo "== $$m"; $(GO) -C $$m test -count=1 ./... || exit 1; done

check: format lint ## what must be green before a change lands
	@for m in $(MODULES); do echo "== $$m"; $(GO) -C $$m vet ./... && $(GO) -C $$m test -race -shuffle=on -count=1 ./... || exit 1; done

format:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }

lint:
	@$(GO) run $(LINT) run ./...
	@cd cmd/kycsim && $(GO) run $(LINT) run --config ../../.golangci.yml ./...

fuzz: ## every fuzz target for FUZZTIME
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
		echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

bench: build ## figures against limits measured in the same run
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_nojournal -o $(BIN)/countersign-nojournal ./cmd/countersign
	$(BIN)/kycsim bench --gateway $(BIN)/countersign --limit-gateway $(BIN)/countersign-nojournal

soak: build ## 100 times kill -9 under load
	$(BIN)/kycsim soak --gateway $(BIN)/countersign --kills 100 --rate 500

soak-control: build ## the same with a gateway that answers before the commit: must find losses
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_ackearly -o $(BIN)/countersign-ackearly ./cmd/countersign
	$(BIN)/kycsim soak --gateway $(BIN)/countersign-ackearly --kills 10 --rate 500 --expect-failure

clean:
	rm -rf $(BIN)
