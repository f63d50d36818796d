# The tasks of this repository. `make` without a target lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-tests run run-qemu stop-qemu build lint test test-rust test-vm test-browser test-clients test-postgres test-go-sdk bench bench-vm deny docs picture

# cargo-nextest is faster and reports more; without it, cargo test runs the same tests.
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install the build dependencies
	@scripts/setup build

setup-tests: ## Install the additional test dependencies
	@scripts/setup tests

run: setup ## Build and serve a simulated fleet from ./cloudpc-data on ports 8365 and 8366
	cargo build --locked --bin cloudpc
	@exec target/debug/cloudpc serve --demo

run-qemu: setup ## Build and serve six real machines under QEMU from ./cloudpc-data-qemu
	cargo build --locked --bin cloudpc
	@exec scripts/run-qemu

stop-qemu: ## Stop the machines of run-qemu, which outlive the service
	@scripts/stop-qemu

build: setup ## Build the release binary in target/release
	cargo build --locked --release --bin cloudpc

lint: ## Check formatting, lints, text width and links; warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	scripts/lint-text

test: ## Install dependencies, lint and run every test; print a table of the results
	@scripts/test

test-rust: ## Run the Rust tests
ifdef NEXTEST
	cargo nextest run --locked --workspace --no-fail-fast
else
	@echo "cargo-nextest is not installed; running the same tests under cargo test."
	cargo test --locked --workspace --all-targets --no-fail-fast
endif

test-clients: setup-tests ## Test the official Graph clients against the real program
	cargo build --locked --bin cloudpc
	tests/clients/run

test-postgres: setup-tests ## Test the store on a PostgreSQL of its own
	@scripts/test-postgres || [ $$? = 3 ]

test-go-sdk: setup ## Test the whole Graph SDK for Go; compiling it takes 10 minutes and 10 GB of memory
	@scripts/test-go-sdk

test-vm: setup ## Test the QEMU driver on real virtual machines, under software emulation
	@scripts/test-vm || [ $$? = 3 ]

test-browser: setup ## Test the desktop of a real virtual machine in a browser
	@scripts/test-browser || [ $$? = 3 ]

bench: setup ## Measure the cost of requests, and print a table with the goals
	cargo build --release --locked -p cloudpc-bench
	@target/release/cloudpc-bench
	@target/release/cloudpc-bench actions
	@target/release/cloudpc-bench lists

bench-vm: setup ## Measure the cost of a reprovision of a real machine, compared with QEMU alone
	@scripts/setup qemu
	cargo build --release --locked -p cloudpc-bench
	@target/release/cloudpc-bench machines

deny: ## Check the licences and sources of the dependencies (needs cargo-deny)
	cargo deny check licenses bans sources

docs: ## Regenerate the generated parts of docs/
	UPDATE_DOCS=1 cargo test --locked --quiet -p cloudpc-server --test server docs::

picture: ## Redraw the picture in the README
	scripts/draw-tour
