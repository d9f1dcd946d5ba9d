# make demo and make test are the two commands of the README. All that is needed is Go, git and make, and for the tests Node.js with npm; tools come as Go modules. What ends in -kafka runs Apache Kafka itself and
# needs Java 17, Maven and Python 3 too; what is missing is said in one sentence.

GO       ?= go
BIN      := bin
RACED    := . cmd/kycsim signing/judge ingest/forward/brokers outbox/store/powercut
MODULES  := $(RACED) dashboards/ruletest dashboards/promtest docs/doctest docs/site
LINTED   := $(MODULES) dashboards/browser # whose test needs a browser: make test-browser
LINT     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 30s
KILLS    ?= 100
CUTS     ?= 200
COMPACTIONS ?= 60
FLIPS    ?= 2000
OTHERS   ?= 50

.PHONY: release test-browser test-prometheus countersign attack attack-control vulncheck bitrot bitrot-control build demo demo-kafka test test-kafka check fuzz bench bench-kafka soak soak-control diskfull diskfull-control isolation isolation-control powercut powercut-control powercut-disk lists pages replay site chaos-kafka chaos-control cluster-control forward-control mutants lint generate format clean

countersign: ## the gateway, in bin/: all that a newcomer needs
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/countersign ./cmd/countersign

build: countersign ## the gateway and the simulator, in bin/
	CGO_ENABLED=0 $(GO) -C cmd/kycsim build -trimpath -o ../../$(BIN)/kycsim .

demo: countersign ## a whole round trip on this machine
	@$(BIN)/countersign demo

demo-kafka: build ## the same with real Kafka, and a reader that prints what is on it
	dir=$$(mktemp -d) && $(BIN)/kycsim kafka --demo $(BIN)/countersign --dir $$dir; code=$$?; rm -rf $$dir; exit $$code

test: ## every module's tests
	@GO="$(GO)" .ci/tests $(MODULES) -- -count=1

test-kafka: build ## what only Apache Kafka itself can show, and one broker killed under load
	$(GO) -C ingest/forward/brokers test -count=1 -timeout 10m -tags realkafka -run Real ./...
	dir=$$(mktemp -d) && $(BIN)/kycsim chaos --gateway $(BIN)/countersign --scenario leader --duration 30s --dir $$dir/chaos && rm -rf $$dir # kept if it fails

test-prometheus: ## Debian's Prometheus scrapes the gateway: every panel and rule answers, with classic and with native histograms; a minute, and it needs prometheus, prometheus-alertmanager and python3-prometheus-client
	$(GO) -C dashboards/promtest test -count=1 -timeout 10m -tags realprometheus ./...

check: format lint ## what must be green before a change lands
	@for m in $(LINTED); do echo "== $$m"; $(GO) -C $$m vet ./... || exit 1; done
	@GO="$(GO)" GORACE=atexit_sleep_ms=0 .ci/tests $(RACED) -- -race -shuffle=on -count=1 -timeout 15m # without GORACE each child sleeps a second before it ends

format:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }

lint:
	@$(GO) run $(LINT) run ./...
	@for m in $(filter-out .,$(LINTED)); do (cd $$m && $(GO) run $(LINT) run --config $(CURDIR)/.golangci.yml --build-tags realkafka,realfuse,realprometheus ./...) || exit 1; done

fuzz: ## every fuzz target for FUZZTIME, and each adapter's parser by itself
	@for p in $$($(GO) list -f '{{$$d := .Dir}}{{range .TestGoFiles}}{{$$d}}/{{.}}{{"\n"}}{{end}}' ./... | xargs grep -l '^func Fuzz' | xargs -n 1 dirname | sort -u); do \
		.ci/fuzz $$(realpath --relative-to=. $$p) $(FUZZTIME) || exit 1; done

bench: build ## figures against limits measured in the same run
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_nojournal -o $(BIN)/countersign-nojournal ./cmd/countersign
	dir=$$(mktemp -d) && $(BIN)/kycsim bench --gateway $(BIN)/countersign --limit-gateway $(BIN)/countersign-nojournal --dir $$dir; code=$$?; rm -rf $$dir; exit $$code

mutants: ## one rule of kyc changed at a time: the scenarios must notice; five minutes
	$(GO) test -tags mutants -count=1 -timeout 1h -parallel 2 -run TestMutants ./kyc

soak: build ## 100 times kill -9 under load
	dir=$$(mktemp -d) && $(BIN)/kycsim soak --gateway $(BIN)/countersign --kills $(KILLS) --rate 500 --dir $$dir/soak && rm -rf $$dir # kept if it fails

soak-control: build ## the same with a gateway that answers before the commit: must find losses
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_ackearly -o $(BIN)/countersign-ackearly ./cmd/countersign
	dir=$$(mktemp -d) && $(BIN)/kycsim soak --gateway $(BIN)/countersign-ackearly --kills 10 --rate 500 --dir $$dir/soak --expect-failure && rm -rf $$dir

powercut: powercut-disk ## COMPACTIONS times the power goes while the file is compacted, and CUTS times under load, from a disk that fails in one of nine ways; needs root and /dev/fuse
	POWERCUT_COMPACTIONS=$(COMPACTIONS) $(GO) -C outbox/store/powercut test -count=1 -tags realfuse ./...
	dir=$$(mktemp -d) && $(BIN)/kycsim powercut --gateway $(BIN)/countersign --disk $(BIN)/powercut --cuts $(CUTS) --dir $$dir/powercut && rm -rf $$dir # kept if it fails

powercut-control: powercut-disk ## the same with a gateway without flushes, and with one that goes on after a failed flush: must destroy databases or lose events
	$(GO) -C outbox/store/powercut test -count=1 -tags realfuse,fault_flushon -run TestFlushFailsOnce . | grep 'of 40 databases are destroyed'
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_noflush -o $(BIN)/countersign-noflush ./cmd/countersign
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_flushon -o $(BIN)/countersign-flushon ./cmd/countersign
	dir=$$(mktemp -d) && $(BIN)/kycsim powercut --gateway $(BIN)/countersign-noflush --disk $(BIN)/powercut --mode cut --cuts 20 --dir $$dir/noflush --expect-failure && \
		$(BIN)/kycsim powercut --gateway $(BIN)/countersign-flushon --disk $(BIN)/powercut --mode flush-enospc --cuts 100 --load 500ms --dir $$dir/flushon --expect-failure && rm -rf $$dir

powercut-disk: build
	CGO_ENABLED=0 $(GO) -C outbox/store/powercut build -trimpath -o ../../../$(BIN)/powercut .

bitrot: build ## single bits, whole pages and the end of the file damaged, one a life: refused by name, or put right, or one person set aside and counted
	dir=$$(mktemp -d) && $(BIN)/kycsim bitrot --gateway $(BIN)/countersign --flips $(FLIPS) --others $(OTHERS) --dir $$dir/rot && rm -rf $$dir # kept if it fails

bitrot-control: build ## the same with a gateway that takes the disk at its word: somebody must be told something wrong
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_believe -o $(BIN)/countersign-believe ./cmd/countersign
	dir=$$(mktemp -d) && $(BIN)/kycsim bitrot --gateway $(BIN)/countersign-believe --flips 600 --others 50 --dir $$dir/rot --expect-failure && rm -rf $$dir

diskfull: build ## a small disk filled four ways under load: it recovers by itself, and nothing is lost; a minute, and root
	dir=$$(mktemp -d) && $(BIN)/kycsim diskfull --gateway $(BIN)/countersign --dir $$dir/disk && \
		$(BIN)/kycsim diskfull --gateway $(BIN)/countersign --scenario backlog,deliveries --size 256 --max-size 64 --dir $$dir/size && rm -rf $$dir # kept if it fails

diskfull-control: build ## the same with a gateway that counts nothing and keeps nothing: must get stuck
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_nocount -o $(BIN)/countersign-nocount ./cmd/countersign
	dir=$$(mktemp -d) && $(BIN)/kycsim diskfull --gateway $(BIN)/countersign-nocount --scenario backlog,ballast --settle 10s --dir $$dir/full --expect-failure && rm -rf $$dir

test-browser: ## the console in a real Chromium: every page judged by axe-core; pictures go to SHOTS=dir
	@$(if $(SHOTS),mkdir -p $(SHOTS))
	$(GO) -C dashboards/browser test -count=1 -timeout 10m ./... $(if $(SHOTS),-shots $(abspath $(SHOTS)))

lists: ## how long lists, one delivery and a search take with a million people; a quarter of an hour, and some GB in TMPDIR
	$(GO) test -count=1 -timeout 1h -run 'TestLists$$' ./relay/control -lists 1000000

pages: ## how long each page of the console takes with a million people and five million deliveries; some minutes, and some GB in TMPDIR. STRICT=1 fails over 100 ms
	$(GO) test -v -count=1 -timeout 2h -run 'TestPageTimes$$' ./relay/control -pages 1000000 $(if $(STRICT),-pages-strict)

isolation: build ## what sick endpoints cost the healthy ones, and what a thousand cost; five minutes
	dir=$$(mktemp -d) && $(BIN)/kycsim isolation --gateway $(BIN)/countersign --dir $$dir; code=$$?; rm -rf $$dir; exit $$code

isolation-control: build ## the same with a gateway whose endpoints share their slots: must miss
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_oneline -o $(BIN)/countersign-oneline ./cmd/countersign
	dir=$$(mktemp -d) && $(BIN)/kycsim isolation --gateway $(BIN)/countersign-oneline --pairs 1 --expect-failure --dir $$dir; code=$$?; rm -rf $$dir; exit $$code

DEAD ?= 100000
REPLAY_RATE ?= 2000

replay: build ## what is told when an endpoint that was out is told DEAD deliveries that died meanwhile, at REPLAY_RATE a second, over a kill -9
	dir=$$(mktemp -d) && $(BIN)/kycsim replay --gateway $(BIN)/countersign --dir $$dir --dead $(DEAD) --rate $(REPLAY_RATE); code=$$?; rm -rf $$dir; exit $$code

attack: build ## strangers: raw HTTP, three languages' clients, every call of the control listener, floods, and addresses that may not be called; a minute, and it needs root, iproute2, Node and Java
	dir=$$(mktemp -d) && $(BIN)/kycsim attack --gateway $(BIN)/countersign --dir $$dir/attack && rm -rf $$dir # kept if it fails

attack-control: build ## the same with a gateway that believes strangers and may call every network: each attack must find that
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_credulous -o $(BIN)/countersign-credulous ./cmd/countersign
	dir=$$(mktemp -d) && $(BIN)/kycsim attack --gateway $(BIN)/countersign-credulous --open-door --dir $$dir/attack --expect-failure && rm -rf $$dir

vulncheck: ## known vulnerabilities in what the program calls, where Go's database can be had
	.ci/vulncheck

chaos-kafka: build ## leaders killed, Kafka gone, the gateway killed, brokers that hang, a partition without a leader, a journal that is full
	$(GO) -C ingest/forward/brokers test -count=1 -tags realkafka ./cluster
	$(GO) -C cmd/kycsim test -count=1 -tags realkafka -run TestReader .
	dir=$$(mktemp -d) && $(BIN)/kycsim chaos --gateway $(BIN)/countersign --dir $$dir/chaos && \
		$(BIN)/kycsim chaos --gateway $(BIN)/countersign --ack kafka --scenario leader --duration 30s --dir $$dir/acked && rm -rf $$dir # kept if it fails

forward-control: ## a forwarder that keeps its position before the acknowledgement: its test must fail
	$(GO) test -count=1 -tags fault_saveearly -run TestForwardThroughFaults/seed_0 ./ingest/forward | grep 'in vain until everything is there'

cluster-control: ## owners of partitions that make one mistake each: the random histories must notice
	$(GO) test -count=1 -tags fault_cluster -run TestMistakes ./relay/cluster

chaos-control: build ## a gateway that keeps its position before the acknowledgement: must find losses
	CGO_ENABLED=0 $(GO) build -trimpath -tags fault_saveearly -o $(BIN)/countersign-saveearly ./cmd/countersign
	dir=$$(mktemp -d) && $(BIN)/kycsim chaos --gateway $(BIN)/countersign-saveearly --scenario leader+kills --duration 30s --dir $$dir/chaos --expect-failure && rm -rf $$dir

bench-kafka: build ## what Kafka costs for each event, and how soon it can be read there
	dir=$$(mktemp -d) && $(BIN)/kycsim bench --gateway $(BIN)/countersign --only e --kafka --dir $$dir; code=$$?; rm -rf $$dir; exit $$code

site: ## the documentation as a static site, in bin/site
	$(GO) -C docs/site run . --out ../../$(BIN)/site

RELEASES ?= linux/amd64 linux/arm64
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
RELEASE  ?= $(BIN)/release
SBOM     ?= github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
STATIC   := CGO_ENABLED=0 GOFLAGS= GOWORK=off GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT=

release: ## static binaries for RELEASES, their checksums and what they are made of, in bin/release; the same bytes wherever it runs, with the same version of Go
	rm -rf $(RELEASE) && mkdir -p $(RELEASE)
	@for t in $(RELEASES); do out=$(RELEASE)/countersign-$(VERSION)-$${t%/*}-$${t#*/}; echo "== $$out"; \
		$(STATIC) GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -buildid= -X main.stamp=$(VERSION)' -o $$out ./cmd/countersign || exit 1; \
		[ -z "$(SBOM)" ] || { $(GO) run $(SBOM) bin -json -noserial -version $(VERSION) -output $$out.cdx.json $$out && sed -i '/^ *"timestamp": /d' $$out.cdx.json; } || exit 1; done
	cd $(RELEASE) && LC_ALL=C sha256sum countersign-* >SHA256SUMS && cat SHA256SUMS

generate: ## what is generated: the dashboard and the table of config keys
	$(GO) generate ./...
	$(GO) test ./cmd/countersign -run TestConfigTable -update

clean:
	rm -rf $(BIN)
