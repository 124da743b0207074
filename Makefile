# Every target does its own set-up, and does it again only when pyproject.toml, a constraints file or the place of
# this folder has changed. All that set-up says goes to stderr: stdout of `make run` is exactly what handrail prints.

MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

VENV := .venv
BENCH_VENV := .venv-bench
MINING_VENV := .venv-mining
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
PYTEST := $(BIN)/pytest
HANDRAIL := $(BIN)/handrail

# An interpreter to prefer: make test PYTHON3=python3.13
PYTHON3 ?=
# Processes that share the tests: much of a test is waiting, so one more than small machines have cores.
WORKERS ?= 3

RUN_STAMP := $(VENV)/.installed-run
TEST_STAMP := $(VENV)/.installed-test
BENCH_STAMP := $(BENCH_VENV)/.installed-bench
MINING_STAMP := $(MINING_VENV)/.installed-mining
NODE_STAMP := .node/.installed
SERVERS_STAMP := $(VENV)/.installed-servers

# The scripts of an environment hold its path, so a clone that was moved or copied is set up anew.
ifneq ($(shell cat $(VENV)/.place 2>/dev/null),$(CURDIR))
$(VENV)/.place: anew
endif
ifneq ($(shell cat $(BENCH_VENV)/.place 2>/dev/null),$(CURDIR))
$(BENCH_VENV)/.place: anew
endif
ifneq ($(shell cat $(MINING_VENV)/.place 2>/dev/null),$(CURDIR))
$(MINING_VENV)/.place: anew
endif

# A value from make's command line as it was typed, quoted for the shell.
typed = '$(subst ','\'',$(value $(1)))'

# -------------------------------------------------------------------------------------------------------- running

# The goal travels in the environment, so that it may hold any character.
override GOAL := $(value GOAL)
export GOAL

.PHONY: run
run: $(RUN_STAMP) ## Run a workflow: make run GOAL="vendor onboarding review" [APPROVE_AS=WHO] [HOME_DIR=DIR] [ARGS="..."]
	@if [ -z "$$GOAL" ]; then echo 'make run needs a goal: make run GOAL="vendor onboarding review"' >&2; exit 2; fi
	@$(HANDRAIL) run --goal "$$GOAL" $(foreach who,$(APPROVE_AS),--approve-as '$(who)') \
		$(if $(HOME_DIR),--home $(call typed,HOME_DIR)) $(ARGS) || { code=$$?; [ $$code -eq 3 ] || exit $$code; }
# Exit code 3 says that the workflow waits for a person: it did what it could.

.PHONY: schema
schema: $(RUN_STAMP) ## Write the JSON Schemas of every event version (ARGS passed on)
	@$(HANDRAIL) schema $(ARGS)

# -------------------------------------------------------------------------------------------------------- testing

.PHONY: test
test: lint $(SERVERS_STAMP) $(NODE_STAMP) ## Formatting, ruff, mypy, import contracts, then every test
	$(PYTEST) -n $(WORKERS) --dist worksteal $(ARGS)

.PHONY: lint
lint: $(TEST_STAMP) ## All that is checked without running anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(TEST_STAMP) ## Format the code and repair what ruff can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: demo-rabbitmq
demo-rabbitmq: $(TEST_STAMP) $(SERVERS_STAMP) $(NODE_STAMP) ## A goal, an approval and an artifact over a real RabbitMQ and a real PostgreSQL
	@$(PYTHON) -m tests.demo.rabbitmq $(ARGS)

.PHONY: crash
crash: $(TEST_STAMP) $(SERVERS_STAMP) ## Kill the real process at every hit of every fault point (make test: at the first hit)
	HANDRAIL_CRASH=every $(PYTEST) -n $(WORKERS) --dist worksteal tests/crash tests/crash_remote $(ARGS)

.PHONY: chaos
chaos: $(TEST_STAMP) $(SERVERS_STAMP) ## 20,030 workflows while everything they stand on dies again and again (ARGS="--seed 7 --workflows 1000")
	@$(PYTHON) -m tests.chaos.run $(ARGS)

.PHONY: stuck-matrix
stuck-matrix: $(TEST_STAMP) $(SERVERS_STAMP) ## Each cause of being stuck on the real stack, with the alert that it fires, and a broker that is away (make test: without alerts)
	HANDRAIL_TEST_ALERTS=yes $(PYTEST) -s tests/integration/stuck/test_causes.py tests/integration/alerts/broker_away.py $(ARGS)

.PHONY: healthy
healthy: $(TEST_STAMP) $(SERVERS_STAMP) ## 5,000 healthy workflows while processes end and begin: nothing is called stuck (ARGS="--workflows 500")
	@$(PYTHON) -m tests.integration.stuck.healthy $(ARGS)

.PHONY: dashboards
dashboards: $(TEST_STAMP) ## Write Grafana's dashboards anew (ARGS="FOLDER --runbook URL": with links to your runbook)
	@$(PYTHON) -m deploy.grafana $(ARGS)

.PHONY: pictures
pictures: $(TEST_STAMP) $(SERVERS_STAMP) ## Draw what the dashboards show of a real run, into build/pictures (or ARGS=FOLDER)
	@$(PYTHON) -m tests.integration.dashboards.pictures $(ARGS)

.PHONY: round-trip
round-trip: $(TEST_STAMP) ## 10,000 histories exported, imported and replayed there: each comes to the same state (ARGS="--workflows 500")
	@$(PYTHON) -m tests.integration.exports.round_trip $(ARGS)

.PHONY: report-look
report-look: $(TEST_STAMP) $(SERVERS_STAMP) $(NODE_STAMP) ## Pages of reports, and pictures of them, into build/report (or ARGS=FOLDER)
	@$(PYTHON) -m tests.integration.reports.looking $(ARGS)

.PHONY: tampering
tampering: $(TEST_STAMP) ## 10,000 changes of an export, and of a store, by chance: each is found where it is (ARGS="--changes 500")
	@$(PYTHON) -m tests.integration.exports.run $(ARGS)

.PHONY: mining
mining: $(MINING_STAMP) ## OCEL and XES exports, read back by pm4py with equal counts (AGPL, so in an environment of its own)
	@$(MINING_VENV)/bin/python -m tests.integration.exports.mining $(ARGS)

.PHONY: upgrade-test
upgrade-test: $(TEST_STAMP) $(SERVERS_STAMP) ## Processes of another revision beside these: make upgrade-test FROM=HEAD~20
	$(PYTHON) -m tests.upgrade.run $(FROM) $(ARGS)

.PHONY: bench
bench: $(BENCH_STAMP) $(SERVERS_STAMP) ## Measure Handrail and its peers on the same work, and print ratios
	$(BENCH_VENV)/bin/python -m tests.benchmarks.run $(ARGS)

# --------------------------------------------------------------------------------------------------------- set-up

# Installs what $(2) names into the environment $(1), from pinned versions. setuptools comes first, so that building
# our own package downloads nothing unpinned.
define install
	@echo 'handrail: installing $(2) into $(1)' >&2
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt setuptools >&2
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
		--constraint constraints.txt $(3) --editable '$(2)' >&2
endef

$(RUN_STAMP): $(VENV)/.place pyproject.toml constraints.txt
	$(call install,$(VENV),.[examples])
	@touch $@

# What tests need includes all that a run needs.
$(TEST_STAMP): $(VENV)/.place pyproject.toml constraints.txt
	$(call install,$(VENV),.[examples$(comma)dev])
	@touch $(RUN_STAMP) $@

# The servers that tests start are the machine's: looked for once an environment, installed where they are missing.
$(SERVERS_STAMP): $(VENV)/.place tests/servers/install.sh
	@sh tests/servers/install.sh >&2
	@touch $@

$(BENCH_STAMP): $(BENCH_VENV)/.place pyproject.toml constraints.txt constraints-bench.txt
	$(call install,$(BENCH_VENV),.[examples$(comma)bench],--constraint constraints-bench.txt)
	@touch $@

$(MINING_STAMP): $(MINING_VENV)/.place pyproject.toml constraints.txt constraints-mining.txt
	$(call install,$(MINING_VENV),.[examples$(comma)mining],--constraint constraints-mining.txt)
	@touch $@

comma := ,

# What the tests need of Node. Where there is none, and none can be had, the tests that need it fail and say so.
$(NODE_STAMP): tests/node/package.json
	@set -eu; \
	if ! command -v npm >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo 'handrail: installing nodejs and npm with apt-get' >&2; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq -y --no-install-recommends nodejs npm; } >&2 || true; \
	fi; \
	if ! command -v npm >/dev/null; then \
		echo 'handrail: npm is not there; on Debian: apt-get install nodejs npm' >&2; \
		exit 0; \
	fi; \
	echo 'handrail: installing what tests/node/package.json names into .node' >&2; \
	mkdir -p '$(@D)'; cp '$<' '$(@D)/package.json'; \
	if npm install --prefix '$(@D)' --no-package-lock --no-audit --no-fund --loglevel=error >&2; then touch '$@'; \
	else echo 'handrail: npm could not install them; the tests that need them will fail' >&2; fi

# Finds a Python that is new enough and can make environments; where it cannot and we may, lets Debian help.
$(VENV)/.place $(BENCH_VENV)/.place $(MINING_VENV)/.place:
	@set -eu; \
	new_enough() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }; \
	find_python() { \
		for name in $(PYTHON3) python3 python3.14 python3.13 python3.12 python3.11; do \
			if new_enough "$$name"; then echo "$$name"; return 0; fi; \
		done; return 1; \
	}; \
	complete() { "$$1" -c 'import ensurepip, venv' 2>/dev/null; }; \
	if ! found=$$(find_python) || ! complete "$$found"; then \
		if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
			echo 'handrail: installing python3 and python3-venv with apt-get' >&2; \
			{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
				apt-get install -qq -y --no-install-recommends python3 python3-venv; } >&2 || true; \
		fi; \
	fi; \
	if ! found=$$(find_python); then \
		echo "handrail needs Python 3.11 or newer; found: $$(python3 --version 2>/dev/null || echo none)." >&2; \
		echo 'On Debian 12: apt-get install python3 python3-venv. Or name one: make PYTHON3=/path/to/python3.12 ...' >&2; \
		exit 2; \
	fi; \
	if ! complete "$$found"; then \
		echo "handrail needs the venv module of $$found, which is not installed." >&2; \
		echo 'On Debian 12: apt-get install python3-venv.' >&2; \
		exit 2; \
	fi; \
	"$$found" -m venv --clear '$(@D)' >&2; \
	printf '%s\n' '$(CURDIR)' > '$@'

.PHONY: clean
clean: ## Remove environments and caches, and nothing that Handrail wrote
	rm -rf $(VENV) $(BENCH_VENV) $(MINING_VENV) .node build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

.PHONY: anew
anew:
