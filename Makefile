# The usual road: make setup, make test, make run. PYTHON=python3.13 make setup picks another Python.

PYTHON ?= python3
ARGS ?=
PYTEST_ARGS ?=
# One file's tests stay in one process, so that few of them start a storage emulator of their own.
# Many tests wait more than they compute, so there is one process more than cores. The order is
# that of tests/conftest.py: the files that take longest come first.
PYTEST_JOBS ?= -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

BIN := .venv/bin
UV := $(BIN)/uv
BROKER_READY := .venv/broker/.ready
PYTHON_READY := .venv/.ready
AZURITE_READY := tools/azurite/node_modules/.ready
KQL_READY := tools/kql/node_modules/.ready
WORKER_READY := .venv-worker/.ready
INFRA_READY := .venv-infra/.ready
DIST_READY := .venv-dist/.ready

.DEFAULT_GOAL := help
.PHONY: help setup run azurite seed test host-facts properties slow simulate bench package lint audit infra-check dist-check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(PYTHON_READY) $(AZURITE_READY) $(KQL_READY) $(WORKER_READY) ## install everything into this folder

run: setup ## run the demo on Azurite; options in ARGS="..."
	@$(BIN)/python -m flowlog_core demo $(ARGS)

azurite: $(AZURITE_READY) ## run Azurite on its usual ports, with its data in .azurite; Ctrl-C stops it
	@tools/azurite/node_modules/.bin/azurite --skipApiVersionCheck --location .azurite

seed: $(PYTHON_READY) ## write sample logs, by default into Azurite (`make azurite`); options in ARGS="..."
	@$(BIN)/python -m flowlog_core demo --seed --settings local.settings.sample.json $(ARGS)

test: setup ## run all tests except those of host-facts and slow; arguments for pytest in PYTEST_ARGS="..."
	@$(BIN)/python -m pytest $(PYTEST_JOBS) -m "not host_facts and not slow" $(PYTEST_ARGS)

host-facts: setup ## test what docs/host.md says about Microsoft's host; minutes
	@$(BIN)/python -m pytest -m host_facts $(PYTEST_ARGS)

properties: setup ## run the property tests with 1,000 examples each; 15 minutes
	@HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest $(PYTEST_JOBS) -m hypothesis $(PYTEST_ARGS)

slow: setup ## test memory with large blobs; a minute
	@$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

simulate: $(PYTHON_READY) ## check the promises in simulated schedules of crashes and faults; ARGS="--help"
	@PYTHONPATH=tests $(BIN)/python -m simulation $(ARGS)

bench: setup ## run the benchmarks
	@$(BIN)/python -m bench

package: $(PYTHON_READY) ## build the zip for deployment; ARGS=--with-dependencies includes the packages
	@$(BIN)/python tools/package.py $(ARGS)

lint: $(PYTHON_READY) ## check style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

audit: $(PYTHON_READY) ## check the deployed packages for known vulnerabilities (needs the internet)
	@$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement requirements.txt

infra-check: $(INFRA_READY) ## compile and lint infra/, with checkov and shellcheck
	@$(BIN)/python tools/bicep.py check infra/main.bicep infra/events.bicep || { \
	  code=$$?; test $$code -eq 3 || exit $$code; echo "infra/*.bicep was not compiled" >&2; }
	@.venv-infra/bin/shellcheck .ci/run
	@.venv-infra/bin/checkov --directory infra --framework bicep --skip-download --compact --quiet

dist-check: $(DIST_READY) ## build wheel and sdist, and test each in a clean environment
	@.venv-dist/bin/python tools/check_dist.py

clean: ## remove everything that setup and the tools made
	rm -rf .venv .venv-worker .venv-infra .venv-dist tools/*/node_modules build *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv installs in a tenth of pip's time. It does not read pip's configuration, so where it fails, pip
# has its turn: $(call install,PYTHON,OPTIONS).
install = $(UV) pip install --quiet --python $(1) $(2) || \
  $(BIN)/python -m pip --python $(1) install -qq --disable-pip-version-check $(2)

$(UV): requirements-dev.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "Flowlog needs Python 3.11 or newer; '$(PYTHON)' was not found." >&2; \
	  echo "Install it, or name yours: make setup PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Flowlog needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1)." >&2; \
	  echo "Name a newer one: make setup PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
	  echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c requirements-dev.txt uv
	@touch $@

# Not optimized: the tests send a few messages, and the compiler takes a quarter of the time.
$(BROKER_READY): requirements-broker.txt | $(UV)
	@mkdir -p $(@D)
	@CFLAGS="-O0 -g0" $(BIN)/python -m pip wheel -qq --disable-pip-version-check --no-deps \
	  --wheel-dir $(@D) -r requirements-broker.txt >$(@D)/log 2>&1 || echo "The Event Hubs tests will" \
	  "be skipped: python-qpid-proton could not be built, which needs a C compiler and Python's" \
	  "headers ($(@D)/log)"
	@touch $@

$(PYTHON_READY): requirements.txt requirements-dev.txt pyproject.toml $(BROKER_READY) | $(UV)
	@echo "Installing the Python packages into .venv"
	@$(call install,$(BIN)/python,-r requirements-dev.txt)
	@$(call install,$(BIN)/python,--no-deps --no-build-isolation -e . $$(ls $(dir $(BROKER_READY))*.whl 2>&-))
	@touch $@

$(AZURITE_READY): tools/azurite/package.json tools/azurite/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || { \
	  echo "The tests and the demo run against Azurite, Microsoft's storage emulator, and that" >&2; \
	  echo "needs Node.js with npm, which was not found. Install Node.js 20 or newer." >&2; exit 1; }
	@echo "Installing Azurite into tools/azurite"
	@npm ci --prefix tools/azurite --no-audit --no-fund --loglevel=error
	@touch $@

$(KQL_READY): tools/kql/package.json tools/kql/package-lock.json | $(AZURITE_READY)
	@echo "Installing Microsoft's reader of Kusto queries into tools/kql"
	@npm ci --prefix tools/kql --no-audit --no-fund --loglevel=error
	@touch $@

# The worker of Azure Functions with the app's own requirements and nothing else: for Python 3.13, which
# is Azure's (tools/package.py) and the oldest that the library asks for; without one, for .venv's.
$(WORKER_READY): requirements.txt requirements-worker.txt | $(UV)
	@echo "Installing the worker of Azure Functions into .venv-worker"
	@rm -rf .venv-worker
	@for python in python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13.*/bin/python $(BIN)/python; do \
	  version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>&-) || continue; \
	  venv=.venv-worker/$$version; \
	  "$$python" -m venv --without-pip $$venv || exit 1; \
	  { $(call install,$$venv/bin/python,-r requirements.txt); } || exit 1; \
	  $(BIN)/python -m pip --python $$venv/bin/python install -qq --disable-pip-version-check \
	    --no-deps --ignore-requires-python -r requirements-worker.txt || exit 1; \
	  break; \
	done
	@touch $@

# Apart from .venv: checkov needs a hundred packages, many in versions that others cannot use.
$(INFRA_READY): requirements-infra.txt | $(UV)
	@echo "Installing checkov and shellcheck into .venv-infra"
	@rm -rf .venv-infra
	@$(BIN)/python -m venv --without-pip .venv-infra
	@$(call install,.venv-infra/bin/python,-r requirements-infra.txt)
	@touch $@

$(DIST_READY): requirements-dist.txt | $(UV)
	@echo "Installing build and twine into .venv-dist"
	@rm -rf .venv-dist
	@$(BIN)/python -m venv --without-pip .venv-dist
	@$(call install,.venv-dist/bin/python,-r requirements-dist.txt)
	@touch $@
