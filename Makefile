# Headstart. `make` alone shows what there is.

PYTHON ?= python3
BIN    := .venv/bin
PORT   ?=
HOST   ?=
export PORT HOST
# Of the commands that ask the server. Their exit status is for scripts, which call them without make: it would
# add error lines of its own.
OPTIONS = $(ARGS) $(if $(JSON),--json)
# So that the shell outlives Ctrl-C, of which make would print an error.
IGNORING = trap : INT;
# These end make themselves when Ctrl-C ends them, for the same reason.
setup first-start models install uninstall restart update backup restore .venv/.installed: export HEADSTART_MAKE = 1

help:            ## show this list
	@awk -F ':.*### ' '/^[a-z-]+:.*[^#]## / {split($$0, part, /:.*## /); printf "  make %-13s %s\n", part[1], part[2]}' $(MAKEFILE_LIST)
	@echo; echo "To work on it:"
	@awk -F ':.*### ' '/^[a-z-]+:.*### / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: first-start models ## set up what is missing and serve on 127.0.0.1:8002 (PORT=, HOST=)
	@exec $(BIN)/gunicorn -c gunicorn.conf.py

setup: .venv/.installed ## find servers, ask at most four questions, try the answers, write them down
	@exec $(BIN)/python -m deploy.setup

# Offered once, on a terminal and with nothing set up; a service never gets here.
first-start: .venv/.installed
	@if [ -t 0 ] && [ -t 1 ]; then exec $(BIN)/python -m deploy.first_start; fi

test: all-models .venv/.installed-test ### set up all that tests need and run the whole test suite
	@exec $(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder

test-clients: all-models .venv/.installed-test .venv-clients/.installed tests/clients/node_modules/.installed ### test with other people's client libraries
	@HEADSTART_PYTHON=$(CURDIR)/$(BIN)/python exec .venv-clients/bin/python -m pytest tests/clients

benchmark: all-models ### run ./Benchmark (ARGS="--scripted --scale 0.1", say)
	@exec $(BIN)/python ./Benchmark $(ARGS)

health: .venv/.installed ## how the running server and everybody behind it are (JSON=1)
	@$(IGNORING) $(BIN)/python -m console.health $(OPTIONS) || true

install: models  ## run it as a service of yours, now and after a reboot (systemd, launchd)
	@exec $(BIN)/python -m deploy.service install

uninstall: .venv/.installed ## stop the service and remove it; configuration and data stay
	@exec $(BIN)/python -m deploy.service uninstall

status: .venv/.installed ## whether it runs and how it is, where its data and logs are
	@$(IGNORING) $(BIN)/python -m deploy.service status || true

logs: .venv/.installed   ## follow the logs (Ctrl-C ends it)
	@$(IGNORING) $(BIN)/python -m deploy.service logs || true

restart: .venv/.installed ## start the service anew
	@exec $(BIN)/python -m deploy.service restart

update: .venv/.installed ## go to the newest version (or TAG=v1.2.3), and back if it does worse
	@exec $(BIN)/python -m deploy.update "$(TAG)"

backup: .venv/.installed ## configuration, keys, ledger and what was learnt in one archive (SESSIONS=1)
	@exec $(BIN)/python -m deploy.backup backup $(if $(SESSIONS),--sessions)

restore: .venv/.installed ## put a backup back (FILE=..., or the newest)
	@exec $(BIN)/python -m deploy.backup restore "$(FILE)"

train: all-models ### train the routing classifier anew (about 25 minutes on one core)
	@exec $(BIN)/python -m training.train $(ARGS)

evaluate: all-models ### judge the routing classifier on the project's own test rows
	@OPENBLAS_NUM_THREADS=1 exec $(BIN)/python -m training.evaluate $(ARGS)

costs: .venv/.installed  ## what the calls of today and of 7 days cost (ARGS=--by=key, JSON=1)
	@$(IGNORING) $(BIN)/python -m console.costs $(OPTIONS) || true

config: .venv/.installed ## every setting in effect and where it came from, secrets masked (JSON=1)
	@$(IGNORING) $(BIN)/python -m console.config $(OPTIONS) || true

schema: .venv/.installed ### write docs/SETTINGS.md and settings/config.schema.json anew
	@exec $(BIN)/python -m settings.schema

lint: .venv/.installed-test ### check style and names with ruff, types with mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

version:         ## which Headstart this is
	@$(PYTHON) -m deploy.version

clean:           ## remove packages, models and caches; what is yours stays
	rm -rf .venv .venv-clients .venv-lock tests/clients/node_modules models .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# What the configuration needs: the demo model only where it answers.
models: .venv/.installed
	@exec $(BIN)/python -m deploy.models

all-models: .venv/.installed
	@exec $(BIN)/python -m engine.prepare

# Installed anew when a lock changes, or when the Python behind .venv is gone; an interrupted installation is taken
# up again.
NO_PYTHON := $(shell test -x $(BIN)/python || echo no-python)
.PHONY: no-python
.venv/.installed: requirements.txt $(NO_PYTHON)
	@command -v $(PYTHON) >/dev/null || { echo "Headstart needs Python 3.11 or newer as '$(PYTHON)'"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Headstart needs Python 3.11 or newer, this is %s" % sys.version.split()[0])'
	@exec $(PYTHON) -m deploy.packages

.venv/.installed-test: requirements-test.txt .venv/.installed
	@exec $(PYTHON) -m deploy.packages test

# Newest versions that fit: make lock ARGS=--upgrade. Both lists are then tried on every system and Python that
# Headstart knows, without installing anything.
UV   := .venv-lock/bin/uv
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	  --custom-compile-command 'make lock'
SYSTEMS := x86_64-manylinux_2_35 aarch64-manylinux_2_35 aarch64-apple-darwin
lock: $(UV)      ### lock the packages of requirements*.in with their hashes
	@$(LOCK) $(ARGS) -o requirements.txt requirements.in
	@$(LOCK) $(ARGS) -o requirements-test.txt requirements-test.in
	@for system in $(SYSTEMS); do for python in 3.11 3.12 3.13 3.14; do \
	  MACOSX_DEPLOYMENT_TARGET=14.0 $(UV) pip install --quiet --dry-run --target .venv-lock/none --require-hashes \
	    --only-binary :all: --python-platform $$system --python-version $$python \
	    -r requirements.txt -r requirements-test.txt || { echo "not on $$system with Python $$python"; exit 1; }; \
	done; done; echo "requirements.txt and requirements-test.txt have builds for $(SYSTEMS)"

$(UV):
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --disable-pip-version-check --quiet 'uv>=0.8'

# Beside .venv, since some of these packages want others in versions of their own.
.venv-clients/.installed: tests/clients/requirements.txt
	@test -x .venv-clients/bin/python || { echo "Making .venv-clients"; $(PYTHON) -m venv .venv-clients; }
	@echo "Installing tests/clients/requirements.txt"
	@.venv-clients/bin/python -m pip install --disable-pip-version-check --quiet \
	  -r tests/clients/requirements.txt
	@touch $@

tests/clients/node_modules/.installed: tests/clients/package.json
	@command -v npm >/dev/null || { echo "The client libraries of Node need Node 20 or newer with npm"; exit 1; }
	@echo "Installing tests/clients/package.json"
	@cd tests/clients && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: install uninstall status logs restart update backup restore
.PHONY: help run test test-clients benchmark train evaluate health costs config schema lint clean models all-models
.PHONY: lock version
.PHONY: setup first-start
