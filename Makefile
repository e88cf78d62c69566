# `make help` lists what there is. Everything runs from .venv, which the first target that needs it makes.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
PROTOS := service_proto/service.proto service_proto/orca.proto service_proto/orca_service.proto
# one more than cores, as tests also wait
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')

.PHONY: help venv demo test lint format proto lock bench bench-accuracy bench-discovery bench-loss bench-policies bench-trial clean
.PHONY: images push kind-load minikube-load chart-test chart-docs e2e

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

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

test: .venv/ready ## run the tests that need Python only, on all cores
	$(BIN)/pytest -n $(WORKERS) --dist worksteal
	@echo "left out: tests/chart (make chart-test, needs helm), tests/e2e (make e2e, needs a cluster)"

lint: .venv/ready ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/ready ## format the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: .venv/ready ## generate the protobuf modules
	$(BIN)/python -m grpc_tools.protoc -Iservice_proto=proto --python_out=proto --pyi_out=proto $(PROTOS)

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

lock: .venv/ready ## pin all dependencies, with hashes
	$(BIN)/$(LOCK) pyproject.toml --extra kubernetes -o requirements/loadgen.txt
	$(BIN)/$(LOCK) --group pyproject.toml:server -o requirements/server.txt
	$(BIN)/$(LOCK) pyproject.toml --group pyproject.toml:dev -o requirements/dev.txt

bench: .venv/ready ## measure: ratios within one run
	$(BIN)/python -m benchmarks

bench-accuracy: .venv/ready ## measure how right the figures are, into docs/accuracy.md (20 minutes)
	$(BIN)/python -m benchmarks.accuracy

bench-discovery: .venv/ready ## measure on the cluster of KUBECONFIG how soon a new replica is called, into docs/discovery.md (20 minutes)
	$(BIN)/python -m benchmarks.discovery

bench-loss: .venv/ready ## measure what replicas that come and go cost, in the lab, into docs/zero-loss.md (6 minutes)
	$(BIN)/python -m benchmarks.loss

bench-policies: .venv/ready ## measure a slow replica under each policy, into docs/policies.md (5 minutes)
	$(BIN)/python -m benchmarks.policies

bench-trial: .venv/ready ## run the KEDA trial on the cluster of KUBECONFIG, into docs/keda-trial.md (15 minutes)
	$(BIN)/python -m benchmarks.trial

CHART := charts/grpc-spread
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION = $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
IMAGE := localhost/grpc-spread
PROGRAMS := server loadgen
# docker or podman that can be reached, else buildah
ENGINE ?= $(firstword $(foreach one,docker podman buildah,$(shell $(one) info >/dev/null 2>&1 && echo $(one))))
KIND_CLUSTER ?= kind

define need_engine
@test -n "$(ENGINE)" || { echo "no docker, podman or buildah that works here" >&2; exit 1; }
endef

images: ## build both images with docker, podman or buildah (ENGINE=)
	$(need_engine)
	set -e; for one in $(PROGRAMS); do \
	  $(ENGINE) build --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
	    -f $$one/Dockerfile -t $(IMAGE)/$$one:$(VERSION) .; \
	done

# an archive is what every engine can write and every cluster can load
build/images/%.tar: FORCE
	$(need_engine)
	@mkdir -p $(@D); rm -f $@
	$(if $(filter buildah,$(ENGINE)),buildah push $(IMAGE)/$*:$(VERSION) docker-archive:$@:$(IMAGE)/$*:$(VERSION),$(ENGINE) save -o $@ $(IMAGE)/$*:$(VERSION))

FORCE:

ARCHIVES := $(PROGRAMS:%=build/images/%.tar)

kind-load: $(ARCHIVES) ## load the images into a kind cluster (KIND_CLUSTER=)
	set -e; for one in $(ARCHIVES); do kind load image-archive --name $(KIND_CLUSTER) $$one; done

minikube-load: $(ARCHIVES) ## load the images into minikube
	set -e; for one in $(ARCHIVES); do minikube image load $$one; done

push: ## push the images: make push REGISTRY=registry.example/team
	@test -n "$(REGISTRY)" || { echo "say where to: make push REGISTRY=registry.example/team" >&2; exit 2; }
	$(need_engine)
	set -e; for one in $(PROGRAMS); do \
	  $(ENGINE) tag $(IMAGE)/$$one:$(VERSION) $(REGISTRY)/$$one:$(VERSION); \
	  $(ENGINE) push $(REGISTRY)/$$one:$(VERSION); \
	done

chart-test: .venv/ready ## test the chart with helm alone, no cluster
	$(BIN)/pytest tests/chart

chart-docs: .venv/ready ## write the values table of the chart's README
	$(BIN)/python charts/docs.py $(CHART)

e2e: .venv/ready ## test on the cluster of KUBECONFIG, which has the images
	$(BIN)/pytest tests/e2e

clean: ## remove what was made
	rm -rf .venv build dist
