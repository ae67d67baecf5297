# What one does with this project; `make` alone lists it. Nothing is skipped silently: what is missing is installed
# or named.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
UNPACKED := $(TARGET)/package/unpacked
PACKAGES := tests/node_modules/.package-lock.json
# Node has to be told which binary to run; Rust's tests and benches know the one that was built with them.
NPM := HANDCLASP_BIN=$(TARGET)/debug/handclasp npm --prefix tests
SAY := @printf '==> %s\n'

.PHONY: help run test fmt style lint doc package rust fuzz binary packages types web clients browser bench bench-quick bench-readme bench-transfer bench-memory pressure soak clean cargo compiler node chromium network

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: cargo ## build the release and start the broker with its page on http://127.0.0.1:4000
	$(SAY) 'building the release'
	@cargo build --locked --release
	@exec $(TARGET)/release/handclasp serve

test: cargo node style lint doc package rust types web clients browser ## everything, on a fresh machine too
	$(SAY) 'all passed'

fmt: cargo ## format the Rust code
	@cargo fmt
	@cargo fmt --manifest-path tests/fuzz/runner/Cargo.toml

style: cargo ## is the Rust code formatted?
	$(SAY) 'cargo fmt --check'
	@cargo fmt --check
	@cargo fmt --check --manifest-path tests/fuzz/runner/Cargo.toml

lint: cargo ## clippy, every warning an error, with and without each feature
	$(SAY) 'cargo clippy'
	@cargo clippy --locked --all-targets --all-features -- -D warnings
	@for features in '' cli page; do \
		cargo clippy --locked --no-default-features --features "$$features" -- -D warnings; \
	done

doc: cargo ## the crate's documentation, every warning an error
	$(SAY) 'cargo doc'
	@RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

# All unpacked files get the time of today: the archive gives each the same one, and cargo would not see what changed.
package: cargo ## does the package that cargo makes compile, with every feature?
	$(SAY) 'cargo package'
	@rm -rf $(TARGET)/package
	@cargo package --locked --allow-dirty --no-verify --quiet
	@mkdir $(UNPACKED)
	@tar -xmzf $(TARGET)/package/handclasp-*.crate -C $(UNPACKED) --strip-components 1
	@cd $(UNPACKED) && CARGO_TARGET_DIR=$(TARGET) cargo check --locked --all-features

rust: cargo ## the Rust tests
	$(SAY) 'cargo test'
	@cargo test --locked --no-run
	@cargo test --locked --quiet

fuzz: cargo compiler ## random input for every decoder, each for FUZZ_SECONDS (10); FUZZ_TARGETS="json query" for some
	@tests/fuzz/run.sh

types: packages ## the types of the JavaScript library
	$(SAY) 'npm run types'
	@$(NPM) run --silent types

web: packages ## the tests of the JavaScript library
	$(SAY) 'npm run web'
	@$(NPM) run --silent web

clients: packages binary ## the official clients against the real broker
	$(SAY) 'npm run clients'
	@$(NPM) run --silent clients

browser: packages binary chromium network ## the page in real Chromium, against the real broker, over cut networks too
	$(SAY) 'npm run browser'
	@CHROMIUM="$${CHROMIUM:-$$(command -v chromium)}" $(NPM) run --silent browser

bench: cargo ## what the broker costs, beside a bare loop and npm's peer and socket.io: target/bench; ONLY=words: only those rows
	@$(call measure,)

bench-quick: cargo ## the same, roughly, in a quarter of the time
	@$(call measure,--quick,--max-time 0.05)

bench-readme: cargo ## the last results of make bench into the README
	@$(BENCH) --quiet --bench cost -- readme

bench-transfer: packages binary chromium ## how fast 500 MB pass between two pages, beside a bare data channel
	@CHROMIUM="$${CHROMIUM:-$$(command -v chromium)}" $(NPM) run --silent bench-transfer

bench-memory: packages binary chromium ## what the two pages hold in memory while 1 GB passes
	@CHROMIUM="$${CHROMIUM:-$$(command -v chromium)}" $(NPM) run --silent bench-memory

pressure: cargo ## what a pair that behaves waits for under floods, and how long 10,000 clients take to come back
	@cargo bench --locked --quiet --bench pressure

soak: cargo ## ten minutes of random work against a release build: what is left in memory and tables; SOAK_SECONDS=n
	@cargo build --locked --release
	@SOAK_SECONDS=$${SOAK_SECONDS:-600} HANDCLASP_BIN=$(TARGET)/release/handclasp cargo test --locked --quiet --test soak -- --nocapture

clean: ## remove what was built and installed here
	@rm -rf $(TARGET) tests/node_modules

# $(call measure,HOW,HOW_THE_STEPS): both benches, built before either runs. The rows beside npm need node, and the table
# says so where it is missing.
BENCH := cargo bench --locked --features benching
measure = if { node --version && npm --version; } >/dev/null 2>&1; then \
		npm --prefix tests/bench ci --no-audit --no-fund --loglevel=error || echo 'npm has failed: its servers may be missing'; fi; \
	echo '==> building the release'; $(BENCH) --quiet --no-run --bench micro --bench cost; \
	mkdir -p $(TARGET)/bench; \
	$(if $(ONLY),,$(BENCH) --quiet --bench micro -- --color never $(2) | tee $(TARGET)/bench/micro.txt;) \
	$(BENCH) --quiet --bench cost -- $(1) $(if $(ONLY),--only '$(ONLY)')

# What the steps above stand on.

binary: cargo
	$(SAY) 'cargo build'
	@cargo build --locked --bins --examples

packages: node $(PACKAGES)

$(PACKAGES): tests/package.json tests/package-lock.json
	$(SAY) 'npm ci'
	@$(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

cargo:
	@command -v cargo >/dev/null || { echo 'Rust is missing: see https://rustup.rs' >&2; exit 1; }
	@{ cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 \
		|| { echo 'rustfmt or clippy is missing: rustup component add rustfmt clippy' >&2; exit 1; }

# libFuzzer is C++: compiled by the one that $CXX names, or Debian's.
compiler:
	@command -v "$${CXX:-c++}" >/dev/null || { $(call install,c++,g++); }

node:
	@command -v node npm >/dev/null || { echo 'Node 20 or later with npm is missing: see https://nodejs.org' >&2; exit 1; }
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
		|| { echo "Node 20 or later is needed, this is $$(node --version)" >&2; exit 1; }

# Debian's Chromium, unless $CHROMIUM names one or one is there.
chromium:
	@if [ -n "$${CHROMIUM:-}" ]; then \
		command -v "$$CHROMIUM" >/dev/null || { echo "Chromium is missing: \$$CHROMIUM names $$CHROMIUM" >&2; exit 1; }; \
	else $(call install,chromium,chromium) || { echo 'or set CHROMIUM to its path' >&2; exit 1; }; fi

# What makes networks for the tests: lines that are cut, routers with NAT, and a TURN server. Debian starts coturn for
# all the world when it is installed; we want the program alone, so its service is masked before.
network:
	@$(call install,ip,iproute2)
	@$(call install,nft,nftables)
	@$(call install,turnserver,coturn,ln -sfn /dev/null /etc/systemd/system/coturn.service)

# $(call install,PROGRAM,PACKAGE,FIRST): Debian's package, unless the program is there, after FIRST was run as root.
# Debian keeps some programs from the path of ordinary users.
install = has() { PATH="$$PATH:/usr/sbin:/sbin" command -v $(1) >/dev/null; }; fail() { echo "$(1) is missing: $$1" >&2; exit 1; }; \
	has || { \
	command -v apt-get >/dev/null || fail 'install it'; \
	root=(); if [ "$$(id -u)" != 0 ]; then root=(sudo -n); fi; \
	"$${root[@]}" true 2>/dev/null || fail 'install the package $(2) as root (apt-get install $(2))'; \
	echo '==> apt-get install $(2)'; \
	"$${root[@]}" apt-get update -qq </dev/null; \
	$(if $(3),"$${root[@]}" $(3);) \
	"$${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) </dev/null >/dev/null; \
	has || fail 'apt-get installed the package $(2), yet the program is not there'; }
