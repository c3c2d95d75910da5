# `make demo` and `make test` set up everything they need in .venv and then do their job.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: demo test check unit proof lock bench sbom audit clean help

help: ## Show the targets.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt-get install python3 python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run-ready: requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev-ready: requirements-dev.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@ $(VENV)/.run-ready

demo: $(VENV)/.run-ready ## Draw a workspace, run the whole loop on it, print the report's path.
	@$(BIN)/tao-skills demo $(DEMO)

test: check unit ## Lint, types, import rules, all tests, coverage gate.

check: $(VENV)/.dev-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@$(BIN)/python scripts/check_tree.py

unit: $(VENV)/.dev-ready
	rm -f .coverage .coverage.*
	$(BIN)/pytest -n 2 -m "not slow" --cov --cov-report= --cov-fail-under=0
	$(BIN)/coverage report --fail-under=85

proof: $(VENV)/.dev-ready ## The long proofs, at full size.
	$(BIN)/pytest -m slow

bench: $(VENV)/.dev-ready ## Print the ratios that benchmarks/README.md explains.
	@bad=; for b in benchmarks/*.py; do echo "== $$b"; $(BIN)/python $$b --quick || bad="$$bad $$b"; done; \
	  [ -z "$$bad" ] || { echo "a limit was missed in:$$bad"; exit 1; }

lock: ## Resolve the dependencies anew (needs uv; names, versions and hashes only).
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --python-version 3.11 pyproject.toml --group dev -o requirements-dev.lock

sbom: $(VENV)/.run-ready ## Print a CycloneDX bill of materials of the locked dependencies.
	@$(BIN)/python scripts/supply_chain.py sbom

audit: $(VENV)/.dev-ready ## Licences of the dependencies, and known vulnerabilities where the advisories can be had.
	$(BIN)/python scripts/supply_chain.py licenses >/dev/null
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python scripts/supply_chain.py audit

clean: ## Remove what was generated.
	rm -rf $(VENV) $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
