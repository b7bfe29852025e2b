# Two commands do all the set-up: `make demo` and `make test`.
# Every target builds what it needs in .venv from the hash-pinned locks.
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
.DEFAULT_GOAL := help
# A process starts in half the time where what an earlier one compiled may be kept.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help setup demo test outside check fix bench invariants lock docs clean

help:  ## say what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.runtime  ## build .venv from requirements.lock

$(VENV)/bin/python:
	@sh .ci/venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	@sh .ci/install $(VENV) requirements.lock
	@touch $@

$(VENV)/.tools: tests/requirements.lock $(VENV)/.runtime
	@sh .ci/install $(VENV) tests/requirements.lock
	@touch $@

demo: $(VENV)/.runtime  ## tell the gateway's story on this machine (SERVE=1 keeps it up)
	@$(PY) -m gateway.sandbox.story $(if $(SERVE),--serve)

test: $(VENV)/.tools  ## run the tests (embedded servers included)
	@$(PY) -m pytest -n $(JOBS) -m "not invariants" $(ARGS)

outside: $(VENV)/.tools $(VENV)-outside/.ready  ## launch, pick and take scores at a platform that others wrote
	@$(PY) -m pytest -m outside tests/outside $(ARGS)

$(VENV)-outside/.ready: tests/outside/requirements.lock
	@[ -x $(VENV)-outside/bin/python ] || sh .ci/venv $(VENV)-outside
	@sh .ci/install $(VENV)-outside tests/outside/requirements.lock apart
	@touch $@

check: $(VENV)/.tools  ## ruff, mypy strict, import contracts
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

fix: $(VENV)/.tools  ## format, and mend what ruff can mend
	@$(VENV)/bin/ruff check --fix-only . ; $(VENV)/bin/ruff format .

invariants: $(VENV)/.tools  ## the laws with big numbers
	@$(PY) -m pytest -n $(JOBS) -v -m invariants $(ARGS)

bench: $(VENV)/.tools bench-out/ltijs/.ready  ## measure ratios against named floors, write bench-out/table.md
	@$(PY) -m tests.benchmarks $(ARGS)

bench-out/ltijs/.ready: tests/benchmarks/ltijs/package-lock.json
	@mkdir -p $(@D) && cp tests/benchmarks/ltijs/package*.json $(@D)
	@if command -v npm >/dev/null; then cd $(@D) && npm ci --silent --omit=dev --ignore-scripts --no-audit --no-fund; \
	  else echo "no npm: ltijs is left out of the figures (remedy: install Node.js with npm)"; fi
	@if [ -d $(@D)/node_modules ]; then touch $@; fi

docs: $(VENV)/.tools  ## write the generated pages of docs/
	@$(VENV)/bin/schoolgate docs
	@$(PY) -m tests.promises
	@$(PY) -m tests.conformance

lock:  ## write the locks anew (needs uv): names, versions and hashes, no address
	@uv pip compile pyproject.toml .ci/build.in --extra embedded --extra sftp --generate-hashes --universal \
	  --python-version 3.11 --no-header --no-annotate --no-emit-index-url -q -o requirements.lock
	@uv pip compile pyproject.toml .ci/build.in --extra embedded --extra sftp --group test --group check \
	  -c requirements.lock --generate-hashes --universal --python-version 3.11 --no-header \
	  --no-annotate --no-emit-index-url -q -o tests/requirements.lock
	@uv pip compile tests/outside/requirements.in --generate-hashes --universal --python-version 3.11 --no-header \
	  --no-annotate --no-emit-index-url -q -o tests/outside/requirements.lock

clean:  ## remove what the targets above made, but not instance/
	@rm -rf $(VENV) $(VENV)-outside demo-out bench-out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
