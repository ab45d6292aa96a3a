# The one way to do each thing; `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
BESIDE := $(wildcard client/pyproject.toml plugins/*/pyproject.toml)
DISTRIBUTIONS := pyproject.toml $(BESIDE)

.DEFAULT_GOAL := help
.PHONY: help setup peers demo run check test test-slow chaos dashboards bench bench-bars bench-peers bench-quality bench-sustained fmt clean

help: ## List what can be done
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 17

setup: $(INSTALLED) ## Create .venv with everything (needs only Python 3.11 or newer)

$(INSTALLED): $(DISTRIBUTIONS) constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	  "Seqwatch needs Python 3.11 or newer, and $(PYTHON) is" \
	  "$$($(PYTHON) -V 2>&1 || true): try  make setup PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt \
	  -e '.[dev]' $(patsubst %/pyproject.toml,-e ./%,$(BESIDE))
	@touch $@

peers: ## Install Prometheus and Alertmanager, beside which `make test` tests then
	tests/peers/install

demo: setup ## Watch a drift being noticed, retrained, proved and promoted (ARGS=…)
	$(BIN)/seqwatch demo $(ARGS)

run: setup ## Run the whole platform on this machine (ARGS=…)
	$(BIN)/seqwatch run $(ARGS)

check: setup ## Format, lint, types, imports, migrations, docs
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q tests/architecture

# Byte code is kept even where the environment forbids it: tests start many processes, and each
# would compile every module again (6 s of CPU instead of 2 s to import the API). A file of tests
# stays in one process, which fills each database that its tests begin with once.
check test test-slow: export PYTHONDONTWRITEBYTECODE :=

test: setup ## Run the tests but for those of `make check` (ARGS=…)
	$(BIN)/python -m pytest -q -n auto --dist loadfile --ignore tests/architecture $(ARGS)

test-slow: setup ## Run the statistical guarantees (minutes)
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m slow $(ARGS)

chaos: setup ## Kill 300 times, take the ground away, move the clock, send nonsense (three hours)
	$(BIN)/python -m tests.chaos.storm --database sqlite --kills 150 $(ARGS)
	$(BIN)/python -m tests.chaos.storm --database postgres --kills 150 $(ARGS)
	for scenario in disk database store network; do \
	  $(BIN)/python -m tests.chaos.outage $$scenario --seconds 60 || exit 1; done
	$(BIN)/python -m tests.chaos.outage database --database postgres --seconds 60
	$(BIN)/python -m tests.chaos.overload --database both --seconds 120
	$(BIN)/python -m tests.chaos.surroundings --database both
	$(BIN)/python -m tests.chaos.surroundings --database both --clock
	$(BIN)/python -m tests.fuzz.bodies --minutes 10

bench-bars: setup ## Measure every bar that was ever met, and print those that moved (15 minutes)
	$(BIN)/python -m benchmarks.bars $(ARGS)

bench: setup ## Measure: ingest, fold and archive, drift
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.fold
	$(BIN)/python -m benchmarks.drift

bench-peers: setup .peers/evidently/.installed .peers/whylogs/.installed ## Measure beside others (ARGS=…)
	$(BIN)/python -m benchmarks.versus $(ARGS)
	$(BIN)/python -m benchmarks.client

QUALITY_PEERS := evidently frouros nannyml river whylogs
bench-quality: setup $(QUALITY_PEERS:%=.peers/%/.installed) ## Measure false alarms and misses (ARGS=…)
	$(BIN)/python -m benchmarks.drift_quality $(ARGS)

# One environment for each peer: none of their requirements ever meets ours.
.peers/%/.installed: benchmarks/peers/%.txt
	$(PYTHON) -m venv --clear .peers/$*
	.peers/$*/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

bench-sustained: setup ## Measure ten minutes of 60,000 predictions a second (ARGS=…)
	$(BIN)/python -m benchmarks.sustained $(ARGS)

dashboards: setup ## Build the Grafana dashboards of deploy/grafana from their code
	$(BIN)/python -m deploy.grafana.build

fmt: setup ## Format, and mend what the linter can
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --fix --quiet .

clean: ## Remove caches and local state; keep .venv
	rm -rf var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
