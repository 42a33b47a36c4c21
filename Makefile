# Everything a person types. `make` alone lists it.

WASM_TARGET := wasm32-wasip1
# What a release has a server for: static, for any Linux. The linker that comes with Rust does for both; ring, which TLS
# stands on, has parts in C and assembler.
SERVERS     := x86_64-unknown-linux-musl aarch64-unknown-linux-musl
TARGET      := $(or $(CARGO_TARGET_DIR),target)
# As the linker leaves them; what is shipped and benched is made from these.
LINKED      := $(TARGET)/$(WASM_TARGET)/filter
# Every minor version that the router supports; the newest, in envoy/VERSION, is the one the tests run on. (Of 1.38 the
# PyPI package has a later patch, 1.38.3, but that binary was built without V8 and runs no wasm.)
ENVOYS      := 1.36.4 1.37.0 1.38.2 1.39.3 1.40.0
# Benches measure releases, with clients and members that are quick to build.
RELEASED    := YORKIES_XDS_SERVER=$(TARGET)/release/xds-server YORKIES_DOCUMENT_SERVER=$(TARGET)/release/document-server
# A name space in which a test may mount a full disk, where this user may have one.
OWN_MOUNTS  := $(shell unshare -Urm true 2>/dev/null && echo unshare -Urm)
# What runs on a real Envoy and may differ from version to version.
E2E         := -p yorkies-tests

.PHONY: help demo up test soak matrix check docs audit bench bench-filter bench-rebalance bench-two-writers bench-memory bench-xds released dist compose-test build filter toolchain envoy node python chromium compose tools etcd faketime clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: toolchain envoy node ## Route documents through a real Envoy, add a server, show what moves, stop
	@cargo build -q -p xds-server -p document-server -p yorkies-tests
	@cargo build -q -p yorkies-filter --target $(WASM_TARGET) --profile filter
	@cargo run -q -p yorkies-tests --bin demo

up: toolchain envoy node ## The same, kept running until Ctrl-C, with a page to write on
	@cargo run -q -p yorkies-tests --bin demo -- --keep

test: toolchain envoy node python chromium compose tools etcd faketime ## All tests, the end-to-end ones on a real Envoy
	cargo test --workspace

soak: toolchain envoy faketime ## Everything fails at random, for long (SOAK="--seed 7 --minutes 60"; 10 minutes without)
	@cargo test -q -p yorkies-tests --test chaos --no-run
	@YORKIES_CHAOS="$(SOAK)" $(OWN_MOUNTS) cargo test -q -p yorkies-tests --test chaos -- --ignored --nocapture --test-threads 1

matrix: toolchain node python chromium compose tools etcd faketime ## The end-to-end tests on every supported Envoy
	@for version in $(ENVOYS); do \
	  echo "Envoy $$version"; \
	  ENVOY_VERSION=$$version cargo test $(E2E) || exit 1; \
	done

check: toolchain ## Formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p yorkies-filter -p empty-filter --target $(WASM_TARGET) -- -D warnings

docs: toolchain ## The tables of docs/configuration.md, from the code
	YORKIES_WRITE_DOCS=1 cargo test -q -p xds-server --test reference

audit: ## Licences, duplicate and unused dependencies (needs cargo-deny and cargo-machete)
	cargo deny check bans licenses sources
	cargo machete

bench: toolchain ## Time to build the tables
	cargo bench -p sharding

bench-filter: filter ## What the filter costs beside none, an empty one and Lua, on a real Envoy (BENCH="--json" and others)
	cargo build -q -p empty-filter --target $(WASM_TARGET) --profile filter
	@for name in yorkies empty; do \
	  cargo run -q -p filter-module -- $(LINKED)/$${name}_filter.wasm \
	    --keep filter/callbacks.txt --out $(TARGET)/filter-bench --name $$name-filter || exit 1; \
	done
	@cargo run -q --release -p filter-bench -- --envoy "$$(envoy/get)" \
	  --linked $(LINKED) --shipped $(TARGET)/filter-bench $(BENCH)

bench-rebalance: released ## How long a rebalance takes, and whom it cuts, beside today's timers (15 minutes; BENCH="--help")
	@$(RELEASED) cargo run -q -p yorkies-tests --bin rebalance-bench -- $(BENCH)

bench-two-writers: released ## How often two servers accept edits of one document that moves, and what comes of it (10 minutes)
	@$(RELEASED) cargo run -q -p yorkies-tests --bin two-writers-bench -- $(BENCH)

bench-memory: released ## What 1000 assignments cost an Envoy with 10000 open streams (15 minutes)
	cargo build -q -p empty-filter --target $(WASM_TARGET) --profile filter
	@$(RELEASED) cargo run -q -p yorkies-tests --bin memory-bench -- --empty $(LINKED)/empty_filter.wasm $(BENCH)

bench-xds: filter ## Thousands of proxies: first configuration, a change, memory (5 minutes; BENCH="--help": any xDS server)
	cargo build -q --release -p xds-server
	@YORKIES_FILTER=$(TARGET)/filter/yorkies-filter.wasm $(RELEASED) \
	  cargo run -q --release -p yorkies-tests --bin xds-bench -- $(BENCH)

released: toolchain envoy
	cargo build -q --release -p xds-server -p document-server

dist: filter ## A release: target/dist with the filter, a static server for each architecture, and checksums
	@rustup target add $(SERVERS)
	@rm -rf $(TARGET)/dist && mkdir -p $(TARGET)/dist
	@for target in $(SERVERS); do \
	  gcc=$${target%%-*}-linux-gnu-gcc; \
	  command -v $$gcc >/dev/null || { echo "$$gcc is missing: apt-get install gcc gcc-aarch64-linux-gnu"; exit 1; }; \
	  env CC_$$(echo $$target | tr - _)=$$gcc CARGO_PROFILE_RELEASE_STRIP=symbols RUSTFLAGS="-C linker=rust-lld" \
	    cargo build --locked --release -p xds-server --target $$target \
	    && cp $(TARGET)/$$target/release/xds-server $(TARGET)/dist/xds-server-$${target%%-*} || exit 1; \
	done
	@cp $(TARGET)/filter/$$(readlink $(TARGET)/filter/yorkies-filter.wasm) LICENSE CHANGELOG.md $(TARGET)/dist
	@cd $(TARGET)/dist && sha256sum * > SHA256SUMS && ls -l

compose-test: compose ## The demo in containers, as the README has it (needs a Docker engine; minutes)
	@if timeout 10 docker info >/dev/null 2>&1; \
	then cargo test -p yorkies-tests --test compose -- --ignored --nocapture; \
	else echo "skipped: no Docker engine is running, the demo in containers was not tried"; fi

build: filter ## The server (release) and the filter
	cargo build -q --release -p xds-server

filter: toolchain ## The filter's module: target/filter/yorkies-filter-HASH.wasm, and a link to it without the hash
	cargo build -q -p yorkies-filter --target $(WASM_TARGET) --profile filter
	cargo run -q -p filter-module -- $(LINKED)/yorkies_filter.wasm \
	  --keep filter/callbacks.txt --out $(TARGET)/filter

toolchain:
	@command -v rustup >/dev/null || { echo "rustup is missing: install it from https://rustup.rs"; exit 1; }
	@rustup show active-toolchain >/dev/null 2>&1 || rustup toolchain install
	@rustup target list --installed | grep -qx $(WASM_TARGET) || rustup target add $(WASM_TARGET)
	@command -v cc >/dev/null || { echo "a C linker is missing: apt-get install gcc libc6-dev"; exit 1; }

envoy:
	@envoy/get >/dev/null

node:
	@command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
	  || { echo "Node.js 20 or later with npm is missing: see https://nodejs.org"; exit 1; }

python:
	@python3 -m pip --version >/dev/null 2>&1 || { echo "python3 with pip is missing: apt-get install python3-pip"; exit 1; }

chromium:
	@tests/chromium >/dev/null

compose:
	@docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null \
	  || { echo "docker compose is missing: apt-get install docker-compose"; exit 1; }

tools:
	@for tool in curl jq openssl; do \
	  command -v $$tool >/dev/null || { echo "$$tool is missing: apt-get install $$tool"; exit 1; }; \
	done

etcd:
	@command -v etcd >/dev/null && command -v etcdctl >/dev/null \
	  || { echo "etcd is missing: apt-get install etcd-server etcd-client"; exit 1; }

faketime:
	@for folder in /usr/lib/*/faketime /usr/lib64/faketime /usr/lib/faketime /usr/local/lib/faketime; do \
	  if [ -e "$$folder/libfaketimeMT.so.1" ]; then exit 0; fi; \
	done; echo "libfaketime is missing: apt-get install faketime"; exit 1

clean: ## Remove everything that was built
	cargo clean
