# Skiff. Everything is built from this checkout; Go's caches make a second run
# fast. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
MAKEFLAGS += --no-print-directory

GO ?= go
GOOS := $(shell $(GO) env GOOS)
ARCH := $(shell $(GO) env GOARCH)
HOST_ARCH := $(shell $(GO) env GOHOSTARCH)
OTHER_ARCH := $(if $(filter amd64,$(HOST_ARCH)),arm64,amd64)

# go.mod pins the versions of everything. KUBERNETES=VERSION takes the guest programs' modules
# from versions/VERSION.mod instead, which differs from it only in what Kubernetes needs.
# "make bump" adds a version.
pinned = $(shell awk '$$1 == "$(1)" { print $$2; exit }' $(2) 2>/dev/null)
minor = $(word 1,$(subst ., ,$(1:v%=%))).$(word 2,$(subst ., ,$(1)))
DEFAULT_KUBERNETES := $(call pinned,k8s.io/kubernetes,go.mod)
KUBERNETES ?= $(call minor,$(DEFAULT_KUBERNETES))
WANTED := $(if $(filter-out file default undefined,$(origin KUBERNETES)),$(KUBERNETES))
override KUBERNETES := $(call minor,$(KUBERNETES))
OTHER := $(filter-out $(call minor,$(DEFAULT_KUBERNETES)),$(KUBERNETES))
ifneq ($(OTHER),)
ifeq ($(wildcard versions/$(OTHER).mod)$(filter bump,$(MAKECMDGOALS)),)
$(error KUBERNETES=$(OTHER) is not supported: choose one of $(call minor,$(DEFAULT_KUBERNETES)) $(patsubst versions/%.mod,%,$(wildcard versions/*.mod)), or add it with "make bump")
endif
endif
PINS := $(if $(OTHER),versions/$(OTHER).mod,go.mod)
RELEASE_OF_KUBERNETES := $(call pinned,k8s.io/kubernetes,$(PINS))
LIMA := $(patsubst v%,%,$(call pinned,github.com/lima-vm/lima/v2,go.mod))
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
VERSION ?= $(shell git describe --tags --match 'v*' --dirty 2>/dev/null || echo v0.1.0-dev)

# One setting of cgo and paths for programs and tests alike, so that they share
# Go's build cache: a cold build of Kubernetes takes minutes.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath

KUBE_X := -X k8s.io/component-base/version
GUEST_LDFLAGS := -s -w $(KUBE_X).gitVersion=$(RELEASE_OF_KUBERNETES) $(KUBE_X).gitMajor=1 \
	$(KUBE_X).gitMinor=$(word 2,$(subst ., ,$(KUBERNETES)))
GUEST_FLAGS := $(if $(OTHER),-modfile=$(PINS) -tags=$(shell scripts/tags.sh $(OTHER)))
BUILD := github.com/skiff-dev/skiff/cmd/skiff/internal/build
HOST_LDFLAGS := -s -w -X $(BUILD).version=$(VERSION) -X $(BUILD).commit=$(COMMIT) \
	-X $(BUILD).kubernetes=$(DEFAULT_KUBERNETES) -X github.com/lima-vm/lima/v2/pkg/version.Version=$(LIMA)

GUEST := build/guest/linux-$(ARCH)$(if $(OTHER),-$(OTHER))
GUEST_PROGRAMS := $(patsubst cmd/%,./cmd/%,$(filter-out cmd/skiff cmd/internal,$(wildcard cmd/*)))
# What is built for another architecture does not replace what runs here. Its node image is
# beside the others, because this host can emulate its nodes.
FOREIGN := $(filter-out $(HOST_ARCH),$(ARCH))
BIN := $(if $(FOREIGN),build/cross/$(ARCH),bin)
SKIFF := $(BIN)/skiff
IMAGE := bin/image$(if $(FOREIGN),/$(ARCH))$(if $(OTHER),/$(OTHER))

# VictoriaMetrics' library wakes every process that links it once a second, unless it is
# built with the tag of its own tests of time.
HOST_TAGS := synctest
ifeq ($(GOOS),darwin)
HOST_ENV := CGO_ENABLED=1
HOST_TAGS := vz,synctest
SIGN = codesign --sign - --force --entitlements scripts/vz.entitlements $(SKIFF)
else
SIGN = true
endif

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: image skiff ## build bin/skiff and the node image in bin/image (KUBERNETES=VERSION: that version's in bin/image/VERSION)

.PHONY: host-packages
host-packages:
	@scripts/host-packages.sh $(ARCH)

MODULES := build/modules-fetched
$(MODULES): go.sum tools/go.sum tools/nfpm/go.sum web/build/go.sum $(wildcard images/programs/*/go.sum test/*/go.sum test/*/*/go.sum)
	@scripts/fetch.sh
	@mkdir -p build && touch $@

# The front end of the dashboard in the browser, which the host program embeds.
WEB := web/dist/index.html.gz
$(WEB): scripts/web.sh $(shell find web/app web/build -type f -not -path '*/node_modules/*') | $(MODULES) host-packages
	@scripts/web.sh

.PHONY: web
web: $(WEB) ## bundle the front end of the dashboard in the browser

.PHONY: skiff
skiff: $(MODULES) $(WEB) ## build bin/skiff only
	@$(HOST_ENV) GOARCH=$(ARCH) $(GO) build -tags $(HOST_TAGS) -ldflags '$(HOST_LDFLAGS)' -o $(SKIFF) ./cmd/skiff
	@$(SIGN)

# Guest programs do not contain the commit, or every commit would change the node image.
.PHONY: guest
guest: $(MODULES) ## build the guest programs (KUBERNETES=VERSION for another version)
	@mkdir -p $(GUEST)
	@GOOS=linux GOARCH=$(ARCH) $(GO) build $(GUEST_FLAGS) -buildvcs=false -ldflags '$(GUEST_LDFLAGS)' -o $(GUEST)/ $(GUEST_PROGRAMS)

.PHONY: image
image: host-packages guest ## build the node image if an input has changed (UPDATE=1 locks current packages, KUBERNETES=VERSION builds that version's, ARCH=arm64 or amd64 that architecture's)
	@$(GO) run ./images -arch $(ARCH) -out $(IMAGE) -guest $(GUEST) -kubernetes $(RELEASE_OF_KUBERNETES) $(if $(UPDATE),-update)

.PHONY: bump
bump: ## pin another release of Kubernetes (KUBERNETES=1.37.3, and DEFAULT=1 to make its minor version the default), generate what follows from it, and check it
	@test -n '$(WANTED)' || { echo 'make bump needs a release: KUBERNETES=1.37.3' >&2; exit 2; }
	@scripts/bump.sh $(WANTED) $(if $(DEFAULT),default)

.PHONY: versions
versions: ## give the module files of other versions of Kubernetes the pins of go.mod, after that has changed
	@scripts/bump.sh

.PHONY: up
up: build ## build what is missing and start the cluster "skiff"
	@$(SKIFF) up --kubernetes $(KUBERNETES)

.PHONY: down
down: skiff ## delete the cluster "skiff"
	@$(SKIFF) down

RELEASE ?= build/release/$(VERSION)
.PHONY: release
release: release-pack ## write a release for this platform to build/release/VERSION (SNAPSHOT=1 signs it with a key that is not kept)
	@$(MAKE) release-sign

# A release for several platforms: run release-pack for each, collect the files in one
# directory, and run release-sign there. IMAGE is a Linux node image of the same
# architecture, which a Mac cannot build.
.PHONY: release-pack
release-pack: $(if $(filter darwin,$(GOOS)),skiff,build)
	@scripts/release.sh $(VERSION) $(GOOS)/$(ARCH) $(SKIFF) $(IMAGE) $(RELEASE)

.PHONY: release-sign
release-sign:
	@$(GO) run ./release sign -version $(VERSION) -out $(RELEASE) $(if $(SNAPSHOT),-snapshot)

.PHONY: docs
docs: ## generate docs/guide's references and the JSON Schema of skiff.yaml
	@SKIFF_FILE= $(GO) run ./cmd/skiff/internal/reference -guide docs/guide

.PHONY: check
check: ## check formatting, vet, lint, import directions, and run the hermetic tests
	@scripts/check.sh

.PHONY: test
test: build ## run the hermetic tests, part of upstream's conformance tests and the release's (as root), and end-to-end tests on VMs
	@scripts/test.sh unit
	@scripts/test.sh conformance
	@scripts/test.sh release
	@scripts/test.sh e2e

.PHONY: unit
unit: host-packages ## run the hermetic tests only
	@scripts/test.sh unit

.PHONY: test-dashboard
test-dashboard: build ## open every screen of the dashboard in Chromium (SKIFF_PICTURES=DIR keeps pictures of them)
	@scripts/host-packages.sh --tests $(ARCH)
	@scripts/web.sh --packages
	@$(GO) test -count=1 -timeout 30m -v ./test/dashboard

.PHONY: pictures
pictures: build ## draw the pictures of both dashboards in docs/images, from a cluster of sandboxes, as root
	@scripts/host-packages.sh --tests $(ARCH)
	@test/pictures.sh

.PHONY: e2e
e2e: build ## run the end-to-end tests on VMs
	@scripts/test.sh e2e

.PHONY: e2e-ingress
e2e-ingress: build ## run a third-party ingress controller on sandboxes, as root
	@scripts/test.sh ingress

.PHONY: e2e-cni
e2e-cni: build ## run a third-party pod network on sandboxes, as root
	@scripts/test.sh cni

.PHONY: e2e-arm64
e2e-arm64: build ## run a cluster with an emulated node of the other architecture (arm64, or amd64 on arm64), on VMs
	@scripts/host-packages.sh --nodes $(OTHER_ARCH)
	@$(MAKE) image ARCH=$(OTHER_ARCH)
	@scripts/test.sh arm64

.PHONY: e2e-versions
e2e-versions: build ## run workloads on a cluster of another version of Kubernetes (KUBERNETES=VERSION), on sandboxes, as root (SKIFF_E2E_DRIVER=lima: on VMs)
	@scripts/test.sh versions $(KUBERNETES)

ROUNDS ?= 20
.PHONY: chaos-host
chaos-host: build ## kill what runs on the host ROUNDS times and check that nothing is lost (SKIFF_E2E_SEED, SKIFF_E2E_DRIVER), as root
	@scripts/test.sh chaos-host $(ROUNDS)

.PHONY: e2e-cgroup2
e2e-cgroup2: build ## run sandboxes inside a VM, whose kernel has only cgroup v2
	@scripts/test.sh cgroup2

CONFORMANCE := build/conformance$(if $(OTHER),-$(OTHER))
.PHONY: conformance-programs
conformance-programs: build
	@mkdir -p $(CONFORMANCE)
	@test/conformance/build.sh $(CONFORMANCE)/bin $(OTHER)
	@test/conformance/images.sh $(CONFORMANCE)

PROCS ?= 8
DRIVER ?= sandbox
.PHONY: conformance
conformance: conformance-programs ## run upstream's conformance tests on sandboxes, as root (SUITE, FOCUS, SKIP, PROCS, DRIVER, KUBERNETES)
	@$(GO) run ./test/conformance -out $(CONFORMANCE) -kubernetes $(KUBERNETES) -driver $(DRIVER) -procs $(PROCS) -suite '$(SUITE)' -focus '$(FOCUS)' -skip '$(SKIP)'

.PHONY: conformance-core
conformance-core: conformance-programs ## run the part of them that covers every SIG, in minutes
	@$(GO) run ./test/conformance -out $(CONFORMANCE) -kubernetes $(KUBERNETES) -procs $(PROCS) -core

.PHONY: conformance-gateway
conformance-gateway: build ## run the conformance tests of the Gateway API on sandboxes, as root (FOCUS, SKIP name tests)
	@test/conformance/gateway.sh $(CONFORMANCE)
	@$(GO) run ./test/conformance -out $(CONFORMANCE) -kubernetes $(KUBERNETES) -gateway -focus '$(FOCUS)' -skip '$(SKIP)'

.PHONY: conformance-list
conformance-list: $(MODULES) ## list the suites beyond conformance and what they leave out
	@test/conformance/build.sh $(CONFORMANCE)/bin $(OTHER)
	@$(GO) run ./test/conformance -out $(CONFORMANCE) -kubernetes $(KUBERNETES) -driver $(DRIVER) -list

.PHONY: logs-flow
logs-flow: ## write 20,000 lines a second from 30 pods to the log store for a minute, with crashes
	@$(GO) test ./test/logs -run Lines -count=1 -v -timeout 15m -args -seconds 60

FUZZTIME ?= 20s
.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

# The benchmarks of nodes, of the edge, of folders, of runtimes and of starts use sandboxes, which need root.
BENCHMARKS := $(filter-out $(if $(filter 0,$(shell id -u)),,node edge folders observe runtimes start),$(notdir $(patsubst %/,%,$(dir $(wildcard test/bench/*/main.go)))))
.PHONY: bench
bench: $(addprefix bench-,$(BENCHMARKS)) ## run every benchmark; each prints a table and writes build/bench/NAME.json

.PHONY: bench-%
bench-%: build
	@mkdir -p build/bench
	@$(GO) run ./test/bench/$* -out build/bench/$*.json

# Upstream's programs, which ours is compared with, from the same modules.
PEERS := build/peers
PEER_PROGRAMS := go.etcd.io/etcd/server/v3 $(addprefix k8s.io/kubernetes/cmd/kube-,apiserver controller-manager scheduler)
.PHONY: bench-controlplane
bench-controlplane: guest ## compare our control plane with upstream's programs, natively (BENCHFLAGS=-quick)
	@mkdir -p $(PEERS)
	@$(GO) build -ldflags '$(GUEST_LDFLAGS)' -o $(PEERS)/ $(PEER_PROGRAMS)
	@$(GO) run ./test/bench/controlplane -skiff $(GUEST)/skiff-controlplane -peers $(PEERS) \
		-out build/bench/controlplane.json $(BENCHFLAGS)

.PHONY: bench-scale
bench-scale: guest ## compare it with 1,000 simulated nodes and 10,000 pods (BENCHFLAGS='-nodes 200 -pods 2000')
	@mkdir -p $(PEERS)
	@$(GO) build -ldflags '$(GUEST_LDFLAGS)' -o $(PEERS)/ $(PEER_PROGRAMS)
	@$(GO) build -C test/bench/controlplane/kwok -ldflags '-s -w' -o $(abspath $(PEERS))/ tool
	@$(GO) run ./test/bench/controlplane -scale -skiff $(GUEST)/skiff-controlplane -peers $(PEERS) \
		-nodes 1000 -pods 10000 -out build/bench/scale.json $(BENCHFLAGS)

.PHONY: bench-start
bench-start: build ## compare every kind of start with that of upstream's programs, as root (BENCHFLAGS='-driver lima' for VMs, -quick)
	@mkdir -p $(PEERS)
	@$(GO) build -ldflags '$(GUEST_LDFLAGS)' -o $(PEERS)/ $(PEER_PROGRAMS)
	@$(GO) run ./test/bench/start -peers $(PEERS) -out build/bench/start.json $(BENCHFLAGS)

.PHONY: bench-build
bench-build: build ## compare image build with nerdctl build, save and load
	@mkdir -p $(PEERS)
	@$(GO) build -C test/bench/build/buildctl -ldflags '-s -w' -o $(abspath $(PEERS))/ tool
	@$(GO) run ./test/bench/build -buildctl $(PEERS)/buildctl -out build/bench/build.json $(BENCHFLAGS)

.PHONY: bench-edge
bench-edge: build ## compare load balancers and names with NodePorts and kubectl port-forward, as root
	@test/prepare.sh
	@$(GO) run ./test/bench/edge -kubectl build/test/bin/kubectl -out build/bench/edge.json $(BENCHFLAGS)

.PHONY: bench-dashboard
bench-dashboard: build ## compare the first rows of 5,000 pods in the browser with kubectl
	@scripts/host-packages.sh --tests $(ARCH)
	@test/prepare.sh
	@$(GO) run ./test/bench/dashboard -out build/bench/dashboard.json $(BENCHFLAGS)

.PHONY: bench-observe
bench-observe: build ## measure what records cost the daemon, next to Prometheus, as root (BENCHFLAGS=-measure=5m)
	@mkdir -p $(PEERS)
	@test/prepare.sh
	@$(GO) build -C test/bench/observe/prometheus -tags remove_all_sd,enable_kubernetes_sd -ldflags '-s -w' \
		-o $(abspath $(PEERS))/ tool
	@$(GO) run ./test/bench/observe -prometheus $(PEERS)/prometheus -out build/bench/observe.json $(BENCHFLAGS)

NODE_PEERS := $(addprefix k8s.io/kubernetes/cmd/,kubelet kube-proxy)
.PHONY: bench-node
bench-node: build ## compare our node with upstream's kubelet and kube-proxy, natively, as root (BENCHFLAGS=-quick)
	@mkdir -p $(PEERS)
	@$(GO) build -ldflags '$(GUEST_LDFLAGS)' -o $(PEERS)/ $(NODE_PEERS)
	@$(GO) build -C test/bench/node/coredns -ldflags '-s -w' -o $(abspath $(PEERS))/coredns github.com/coredns/coredns
	@$(GO) run ./test/images -o build/test/images -cache build/test/cache
	@$(GO) run ./test/bench/node -peers $(PEERS) -out build/bench/node.json $(BENCHFLAGS)

ROUNDS ?= 20
.PHONY: chaos-etcd
chaos-etcd: guest ## break three control planes ROUNDS times, natively, as root, and check the history
	@mkdir -p build/chaos
	@$(GO) build -o build/chaos/etcd ./test/chaos/etcd
	@build/chaos/etcd -program $(abspath $(GUEST))/skiff-controlplane -rounds $(ROUNDS) $(CHAOSFLAGS)

.PHONY: clean
clean: ## remove everything that was built
	@rm -rf bin build web/dist/assets $(WEB)
