# `make demo` and `make test` set up everything they need in .venv and then do their job.
SHELL := /bin/bash
# Any Python 3.8 or newer can run the set-up; it finds one of 3.11 or newer. PYTHON=… names the one to take.
PYTHON ?=
RUN := $(or $(PYTHON),$(shell command -v python3))
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo
WORKERS ?= 4

# What leads Python elsewhere is of another program; an environment that was moved or whose Python has gone is set up anew.
unexport PYTHONPATH PYTHONHOME
_ := $(shell [ ! -e $(VENV)/.run-ready ] || [ "$$($(BIN)/python -I -c \
  'import importlib.util as u; print(u.find_spec("tao_skill_bank").origin)' 2>&1)" -ef tao_skill_bank/__init__.py ] \
  || rm -f $(VENV)/.*-ready)

.PHONY: demo demo-vlm studio wheelhouse requests test check unit coverage proof mutants lock bench sbom audit releases clean help

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

SET_UP = @test -n "$(RUN)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt-get install python3 python3-venv)"; exit 1; }; \
  "$(RUN)" scripts/set_up.py $(VENV) --project editable $(if $(PYTHON),--python "$(PYTHON)") $(if $(WHEELHOUSE),--wheelhouse "$(WHEELHOUSE)")

$(VENV)/.run-ready: requirements.lock pyproject.toml
	$(SET_UP) --lock requirements.lock
	@touch $@

$(VENV)/.dev-ready: requirements-dev.lock pyproject.toml
	$(SET_UP) --lock requirements-dev.lock
	@touch $@ $(VENV)/.run-ready

wheelhouse: ## Fetch what the locks name into WHEELHOUSE=wheelhouse; elsewhere: make demo WHEELHOUSE=DIR, without a network.
	@"$(RUN)" scripts/set_up.py wheelhouse "$(or $(WHEELHOUSE),wheelhouse)" --lock requirements.lock --lock requirements-dev.lock --lock requirements-audit.lock

demo: $(VENV)/.run-ready ## Draw a workspace, run the whole loop on it, print the report's path.
	@$(BIN)/tao-skills demo $(DEMO)

$(VENV)/.video-ready: requirements-video.lock pyproject.toml
	@echo "the second loop needs PyAV: installing the extra [video] into $(VENV)"
	$(SET_UP) --lock requirements-video.lock
	@touch $@

demo-vlm: $(VENV)/.run-ready $(VENV)/.video-ready ## The same for yes/no questions about drawn videos; installs the video extra.
	@$(BIN)/tao-skills demo $(or $(filter-out demo,$(DEMO)),demo-vlm) --task vlm_bcq

# Side by side: many a test waits for a process, and types take a minute of one core.
test: $(VENV)/.dev-ready ## Lint, types, import rules, all tests. WORKERS=1, SEED=7: on so many workers, in that order.
	@$(MAKE) --no-print-directory --jobs=2 check unit

check: $(VENV)/.dev-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@$(BIN)/python scripts/check_tree.py

PYTEST = $(BIN)/pytest $(if $(filter-out 1,$(WORKERS)),-n $(WORKERS) --dist worksteal) $(if $(SEED),--randomly-seed=$(SEED)) -m "not slow"

unit: $(VENV)/.dev-ready
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python tests/support/compiled.py
	$(PYTEST)

# Not in `make test`: watching every line costs the tests 40 % more processor time.
coverage: $(VENV)/.dev-ready ## The same tests with the gate on how many lines and branches they reach.
	rm -f .coverage .coverage.*
	$(PYTEST) --cov --cov-report= --cov-fail-under=0
	$(BIN)/coverage report --fail-under=85

proof: coverage ## The coverage gate, and the long proofs at full size.
	$(BIN)/pytest -m slow

requests: $(VENV)/.dev-ready ## Play what people ask through a real server; print the calls and characters of each.
	$(BIN)/pytest -q -s -p no:randomly tests/agents/test_requests.py

mutants: $(VENV)/.dev-ready ## Change the deciding lines one by one: which change does no test notice? ONLY=WORD: of some modules.
	$(BIN)/python scripts/mutants.py $(ONLY)

bench: $(VENV)/.dev-ready ## Print the ratios that benchmarks/README.md explains.
	@bad=; for b in benchmarks/*.py; do echo "== $$b"; $(BIN)/python $$b --quick || bad="$$bad $$b"; done; \
	  [ -z "$$bad" ] || { echo "a limit was missed in:$$bad"; exit 1; }

lock: ## Resolve the dependencies anew (needs uv and the network) and measure what they cost.
	"$(RUN)" scripts/lock.py

releases: $(VENV)/.run-ready ## Read every TAO release on the Python index anew: its facts, and what changed.
	@$(BIN)/python scripts/releases.py
	@$(BIN)/tao-skills releases

sbom: $(VENV)/.run-ready ## Print a CycloneDX bill of materials of the locked dependencies.
	@$(BIN)/python scripts/supply_chain.py sbom

$(VENV)/.audit-ready: requirements-audit.lock pyproject.toml
	$(SET_UP) --lock requirements-audit.lock
	@touch $@

audit: $(VENV)/.run-ready $(VENV)/.audit-ready ## Licences of the dependencies, and known vulnerabilities where the advisories can be had.
	$(BIN)/python scripts/supply_chain.py licenses >/dev/null
	$(BIN)/python scripts/supply_chain.py audit

clean: ## Remove what was generated.
	rm -rf $(VENV) $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

studio: ## Build the page's bundles anew, from its own locked list (needs Node and its registry).
	cd tao_skill_bank/studio/web && npm ci --no-audit --no-fund && npm run build
