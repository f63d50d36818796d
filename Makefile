# Everything a person does with this repository. `make` alone lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-tests run run-qemu stop-qemu build lint test test-rust test-vm test-browser test-clients bench bench-vm deny docs picture

# cargo-nextest is quicker and tells more; without it the same tests run under cargo's own runner.
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

help: ## List what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building needs
	@scripts/setup build

setup-tests: ## Install what the tests need besides
	@scripts/setup tests

run: setup ## Build, and serve a simulated fleet from ./cloudpc-data on ports 8365 and 8366
	cargo build --locked --bin cloudpc
	@exec target/debug/cloudpc serve --demo

run-qemu: setup ## The same with six real machines under QEMU, from ./cloudpc-data-qemu
	cargo build --locked --bin cloudpc
	@exec scripts/run-qemu

stop-qemu: ## End the machines of run-qemu, which outlive the service
	@scripts/stop-qemu

build: setup ## Build the program for use, into target/release
	cargo build --locked --release --bin cloudpc

lint: ## Check formatting, lints and the width of text; warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	scripts/lint-text

test: ## Set up, lint and run every test; a table at the end says what passed
	@scripts/test

test-rust: ## The Rust tests
ifdef NEXTEST
	cargo nextest run --locked --workspace --no-fail-fast
else
	@echo "cargo-nextest is not installed; running the same tests under cargo test."
	cargo test --locked --workspace --all-targets --no-fail-fast
endif

test-clients: setup-tests ## The official Graph clients against the real program
	cargo build --locked --bin cloudpc
	tests/clients/run

test-vm: setup ## The QEMU driver on real virtual machines, under software emulation
	@scripts/test-vm || [ $$? = 3 ]

test-browser: setup ## The desktop of a real virtual machine in a browser
	@scripts/test-browser || [ $$? = 3 ]

bench: setup ## Measure what requests cost, and print a table with the goals beside it
	cargo build --release --locked -p cloudpc-bench
	@target/release/cloudpc-bench

bench-vm: setup ## Measure what a reprovision of a real machine costs, against QEMU alone
	@scripts/setup qemu
	cargo build --release --locked -p cloudpc-bench
	@target/release/cloudpc-bench machines

deny: ## Check licences and sources of the dependencies (needs cargo-deny)
	cargo deny check licenses bans sources

docs: ## Write the parts of docs/ that follow from the code
	UPDATE_DOCS=1 cargo test --locked --quiet -p cloudpc-server --test server docs::

picture: ## Draw the picture in the README anew
	scripts/draw-tour
