# Everything a contributor or newcomer runs. `make` alone lists it.
# GNU make and a POSIX shell; without make, each recipe is a plain command to copy.

PYTHON ?= python3
UPGRADE ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev

# slack_sdk takes a proxy from the environment and ignores NO_PROXY; the sandbox is all on this machine.
NO_PROXIES := HTTPS_PROXY= HTTP_PROXY= ALL_PROXY= https_proxy= http_proxy= all_proxy=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help sandbox demo test check conformance crash simulate races sabotage mutation bench bench-growth bench-load screenshots lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

sandbox: $(READY) ## try the bot in the browser: no Slack, no provider, nothing to sign up for
	@$(NO_PROXIES) $(BIN)/python -m sandbox

demo: $(READY) ## watch nine short stories, played by themselves and checked; a minute
	@$(NO_PROXIES) $(BIN)/python -m sandbox demo

# Some tests are about seconds, such as the three that Slack gives, and share the cores with others and with
# the processes they start. What fails beside others is named, and tried once more by itself.
test: $(READY_DEV) ## all tests; they need no network, and bring their own Postgres
	@$(NO_PROXIES) $(BIN)/python -m pytest -q --numprocesses auto --dist loadfile --no-loadscope-reorder \
		|| $(NO_PROXIES) $(BIN)/python -m pytest -q --last-failed --last-failed-no-failures none

check: $(READY_DEV) ## lint, format, types, layers, migrations
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy --strict bot providers sandbox tests bench
	@$(BIN)/python -m pytest -q tests/test_layers.py
	@$(BIN)/python -m pytest -q tests/bot/test_migrations.py

conformance: $(READY) ## try every provider on every case of what can go wrong; half a minute
	@$(NO_PROXIES) $(BIN)/python -m sandbox.conformance

crash: $(READY_DEV) ## kill the bot at every database and socket call, cut the power, fill the disk; takes long
	@$(NO_PROXIES) $(BIN)/python -m tests.crash
	@$(NO_PROXIES) $(BIN)/python -m tests.disk

simulate: $(READY_DEV) ## 10,000 seeded schedules of crashes and faults on each database
	@$(NO_PROXIES) $(BIN)/python -m tests.simulation --schedules 10000
	@$(NO_PROXIES) $(BIN)/python -m tests.simulation --schedules 10000 --postgres

races: $(READY_DEV) ## clicks, approvers and workers in the same moment, and workers that are stopped
	@$(NO_PROXIES) $(BIN)/python -m tests.races

sabotage: $(READY_DEV) ## break the code on purpose in many ways; a test must turn red for each
	@$(NO_PROXIES) $(BIN)/python -m tests.sabotage

mutation: $(READY_DEV) ## change the adapters in a thousand places and see if a test notices; takes long
	@$(BIN)/python -m tests.providers.mutation

bench: $(READY_DEV) ## how fast it is, each figure beside a floor measured in the same run; some minutes
	@$(NO_PROXIES) $(BIN)/python -m bench

bench-growth: $(READY_DEV) ## what a million requests on file cost; ten gigabytes, and some minutes
	@$(NO_PROXIES) $(BIN)/python -m bench growth --output build/bench-growth.json

bench-load: $(READY_DEV) ## 500 approvals within a minute, and several workers beside one; some minutes
	@$(NO_PROXIES) $(BIN)/python -m bench minute workers --output build/bench-load.json

screenshots: $(READY_DEV) ## renew the pictures in docs/; needs Chromium
	@$(NO_PROXIES) $(BIN)/python -m sandbox screenshots

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE)

lock: $(READY_DEV) ## pin what pyproject.toml asks for; UPGRADE=--upgrade for newer versions
	@$(COMPILE) pyproject.toml -o requirements.txt
	@$(COMPILE) --group pyproject.toml:dev -c requirements.txt -o requirements-dev.txt

clean: ## remove the environment and caches; data/ stays
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov build dist
	@find bot providers sandbox tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment ------------------------------------------------

# uv is many times faster than pip, but it does not read pip's configuration and is not built for
# every platform, so pip is the way out in both cases. Either refuses a file whose hash is not pinned.
define install
$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r $(1) 2>$(VENV)/uv.log \
	|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(1)
endef

# After an upgrade of the system's Python the environment points nowhere; forget that it was ready.
$(shell [ -x $(BIN)/python ] || rm -f $(READY) $(READY_DEV))

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Countersign needs Python 3.11 or newer, and '$(PYTHON)' is not." >&2; \
		echo "Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python)" >&2; \
		echo "or name it: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments: its ensurepip module is missing." >&2; \
		echo "Install it (Debian, Ubuntu: apt install python3-venv) and try again." >&2; exit 1; }
	@echo "Making $(VENV), once ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@awk '/^uv==/ {p = 1} p {print} p && !/\\$$/ {exit}' requirements-dev.txt >$(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps \
		--require-hashes -r $(VENV)/uv.txt 2>$(VENV)/uv.log || echo "(uv is not to be had here; pip takes longer)"

$(READY): requirements.txt | $(BIN)/python
	@$(call install,requirements.txt)
	@touch $@

$(READY_DEV): requirements-dev.txt $(READY) | $(BIN)/python
	@$(call install,requirements-dev.txt)
	@touch $@
