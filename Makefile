# `make help` lists what there is. Everything runs from .venv, which the first target that needs it makes.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
PROTO := proto/service_proto

.PHONY: help venv demo test lint format proto lock bench clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

venv: .venv/ready ## make .venv from the locked requirements

.venv/ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "grpc-spread needs Python 3.11 or newer; name one with: make PYTHON=python3.13 venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: .venv/ready ## run all experiments on a cluster on loopback
	$(BIN)/python -m lab run all

test: .venv/ready ## run the tests that need Python only
	$(BIN)/pytest

lint: .venv/ready ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/ready ## format the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: .venv/ready ## generate the protobuf modules
	$(BIN)/python -m grpc_tools.protoc -Iservice_proto=proto --python_out=proto --pyi_out=proto service_proto/service.proto

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

lock: .venv/ready ## pin all dependencies, with hashes
	$(BIN)/$(LOCK) pyproject.toml -o requirements/loadgen.txt
	$(BIN)/$(LOCK) --group pyproject.toml:server -o requirements/server.txt
	$(BIN)/$(LOCK) pyproject.toml --group pyproject.toml:dev -o requirements/dev.txt

bench: .venv/ready ## measure: ratios within one run
	$(BIN)/python -m benchmarks

clean: ## remove what was made
	rm -rf .venv build dist
