# What one does with this project; `make` alone lists it. Nothing is skipped silently: what is missing is installed
# or named.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
PACKAGES := tests/node_modules/.package-lock.json
NPM := npm --prefix tests
SAY := @printf '==> %s\n'
export HANDCLASP_BIN := $(TARGET)/debug/handclasp

.PHONY: help run test fmt style lint doc rust binary packages types web clients browser clean cargo node chromium

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: cargo ## build the release and start the broker with its page on http://127.0.0.1:4000
	$(SAY) 'building the release'
	@cargo build --locked --release
	@exec $(TARGET)/release/handclasp serve

test: cargo node style lint doc rust types web clients browser ## everything, on a fresh machine too
	$(SAY) 'all passed'

fmt: cargo ## format the Rust code
	@cargo fmt

style: cargo ## is the Rust code formatted?
	$(SAY) 'cargo fmt --check'
	@cargo fmt --check

lint: cargo ## clippy, every warning an error
	$(SAY) 'cargo clippy'
	@cargo clippy --locked --all-targets -- -D warnings

doc: cargo ## the crate's documentation, every warning an error
	$(SAY) 'cargo doc'
	@RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

rust: cargo ## the Rust tests
	$(SAY) 'cargo test'
	@cargo test --locked --no-run
	@cargo test --locked --quiet

types: packages ## the types of the JavaScript library
	$(SAY) 'npm run types'
	@$(NPM) run --silent types

web: packages ## the tests of the JavaScript library
	$(SAY) 'npm run web'
	@$(NPM) run --silent web

clients: packages binary ## the official clients against the real broker
	$(SAY) 'npm run clients'
	@$(NPM) run --silent clients

browser: packages binary chromium ## the page in real Chromium, against the real broker
	$(SAY) 'npm run browser'
	@CHROMIUM="$${CHROMIUM:-$$(command -v chromium)}" $(NPM) run --silent browser

clean: ## remove what was built and installed here
	@rm -rf $(TARGET) tests/node_modules

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

node:
	@command -v node npm >/dev/null || { echo 'Node 20 or later with npm is missing: see https://nodejs.org' >&2; exit 1; }
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
		|| { echo "Node 20 or later is needed, this is $$(node --version)" >&2; exit 1; }

# Debian's Chromium, unless $CHROMIUM names one or one is there.
chromium:
	@fail() { echo "Chromium is missing: $$1" >&2; exit 1; }; \
	if [ -n "$${CHROMIUM:-}" ]; then command -v "$$CHROMIUM" >/dev/null || fail "\$$CHROMIUM names $$CHROMIUM"; exit 0; fi; \
	if command -v chromium >/dev/null; then exit 0; fi; \
	command -v apt-get >/dev/null || fail 'install it and set CHROMIUM to its path'; \
	root=(); if [ "$$(id -u)" != 0 ]; then root=(sudo -n); fi; \
	"$${root[@]}" true 2>/dev/null || fail 'install the package chromium as root (apt-get install chromium), or set CHROMIUM'; \
	echo '==> apt-get install chromium'; \
	"$${root[@]}" apt-get update -qq </dev/null; \
	"$${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium </dev/null >/dev/null; \
	command -v chromium >/dev/null || fail 'apt-get installed the package, yet there is no chromium on the PATH'
