# Two commands: `make run` and `make test`. Each does its own set-up in .venv; nothing is installed outside this folder.

PORT ?= 8000
# Twice as many as there are cores: many tests wait for a process or a clock.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 2) * 2)')
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
LOCK := .ci/requirements.lock
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --constraint $(LOCK) --editable

# A stamp says what is installed and where. A virtual environment does not survive its folder being moved, nor its python being removed.
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
ifneq ($(CURDIR),$(shell cat $(DEV) 2>/dev/null || cat $(RUN) 2>/dev/null || echo $(CURDIR)))
$(shell rm -rf $(VENV))
endif
ifneq (ok,$(shell $(PY) -c 'print("ok")' 2>/dev/null))
$(shell rm -rf $(VENV))
endif

.PHONY: run test check format lint types imports existing fuzz fuzz-bodies kills points replay soak bench bench-coalesce bench-edges bench-executors bench-growth bench-hostile bench-keys bench-overload bench-pair bench-start bench-validation bench-workers bench-writes screenshot lock clean help

run: $(RUN)  ## start the gateway on PORT (8000), with demo data on the first start
	@exec $(VENV)/bin/gateway serve --port $(PORT)

# Compiled modules are kept: tests start some sixty processes, each of which would compile them anew.
test: export PYTHONDONTWRITEBYTECODE =
test: $(DEV)  ## all tests; those on real servers run when TEST_POSTGRES_URL, TEST_MONGO_URL and TEST_NEO4J_URL name them
	$(PY) -m pytest -n $(WORKERS)

check: lint types imports test  ## what CI runs

format: $(DEV)  ## rewrite the code the way `make lint` wants it
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

lint: $(DEV)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

types: $(DEV)
	$(PY) -m mypy

imports: $(DEV)
	$(VENV)/bin/lint-imports

fuzz: export FUZZ_EXAMPLES ?= 5000
fuzz: $(DEV)  ## 20,000 random operations, 5,000 in each of four tests, each answered by the engine and by the oracle
	$(PY) -m pytest -q tests/gateway/engine/test_differential.py

existing: export CHINOOK_EXAMPLES = $(or $(EXAMPLES),3000)
existing: export CHINOOK_SEED = $(or $(SEED),1)
existing: $(DEV)  ## EXAMPLES (3,000) random operations over databases that exist, against the oracle over their rows; SEED for others
	$(PY) -m pytest -q -n $(WORKERS) tests/existing/test_generated.py

fuzz-bodies: $(DEV)  ## COUNT (100,000) mutated bodies and documents, in PROCESSES (1): every answer is checked; SEED for others
	$(PY) -m tests.fuzzing --count $(or $(COUNT),100000) --seed $(or $(SEED),1) --processes $(or $(PROCESSES),1) $(FUZZ)

kills: $(DEV)  ## kill gateways and relays KILLS (1,000) times while clients write, and look at every row (KILLING='--stores live')
	$(PY) -m tests.killing --kills $(or $(KILLS),1000) $(KILLING)

points: $(DEV)  ## kill a gateway at each step of createUser, and send the request again under its key (POINTS='--stores live')
	$(PY) -m tests.points $(POINTS)

replay: $(DEV)  ## play DATA/writes.ndjson through mutations, and compare with a load of what it ends in (REPLAY='--stores live --kill-relay 2')
	$(PY) -m tests.replaying $(DATA) $(REPLAY)

soak: $(DEV)  ## a gateway under good, hostile and broken requests for SECONDS (600): fails when it grows, stalls, errs or dies
	$(PY) -m tests.soak --seconds $(or $(SECONDS),600) $(SOAK)

bench-coalesce: $(DEV)  ## look-ups from 32 connections with and without coalesce, beside an endpoint by hand and Mercurius (TEST_POSTGRES_URL)
	$(PY) -m tests.benchmarks.coalesce $(COALESCE)

bench-edges: $(DEV)  ## pages through edges of a user who follows 30,000 (PostgreSQL with TEST_POSTGRES_URL)
	$(PY) -m tests.benchmarks.edges

bench-executors: $(DEV)  ## the executors alone, over rows that are ready in memory
	$(PY) -m tests.benchmarks.executors

bench-growth: $(DEV)  ## the tree for 10, 100 and 1,000 users, and the memory of 32 connections (TEST_POSTGRES_URL)
	$(PY) -m tests.benchmarks.growth

bench-hostile: $(DEV)  ## what hostile documents and values cost: CPU of each, the longest stall for others, memory
	$(PY) -m tests.hostile --write

bench-keys: $(DEV)  ## 200,000 customers and 500,000 orders under keys of text, bigint and uuid (PostgreSQL with TEST_POSTGRES_URL)
	$(PY) -m tests.benchmarks.keys $(KEYS)

bench-overload: $(DEV)  ## look-ups from more connections than a process can answer, which ask again at once
	$(PY) -m tests.benchmarks.overload $(OVERLOAD)

bench-pair: $(DEV)  ## COMMIT and HEAD in turns: CPU per request; fails when more than MOST (1.02) times COMMIT's beyond doubt
	$(PY) -m tests.benchmarks.pair $(or $(COMMIT),$(error which commit? make bench-pair COMMIT=<ref>)) $(if $(MOST),--most $(MOST)) $(PAIR)

bench-start: $(DEV)  ## seconds to the first answer, and memory when idle
	$(PY) -m tests.benchmarks.start

bench-workers: $(DEV)  ## CPU of a request with one worker and with two (TEST_POSTGRES_URL, of a server on this machine)
	$(PY) -m tests.benchmarks.workers $(WORKERS)

bench-writes: $(DEV)  ## what a write costs, how late its targets hear of it, how fast they catch up (TEST_POSTGRES_URL; all three for the lag over them)
	$(PY) -m tests.benchmarks.writes

bench-validation: $(DEV)  ## CPU time to parse and validate documents made to be slow, and the rules that take it
	$(PY) -m tests.benchmarks.validation

bench: $(DEV)  ## this gateway and its peers on the same stores; QUICK=1 for a minute's try
	$(PY) -m tests.benchmarks $(if $(QUICK),--quick) $(BENCH)

screenshot: $(DEV)  ## the README's first query in GraphiQL, in headless Chromium
	$(PY) -m tests.browser.screenshot

lock: $(DEV)  ## write the versions that are installed now to the lock
	$(PY) -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager --editable '.[dev]'
	{ sed -n '/^#/p' $(LOCK); $(PY) -m pip freeze --exclude-editable; } > $(LOCK).new
	mv $(LOCK).new $(LOCK)
	touch $(DEV)

clean:  ## remove the virtual environment and caches; data/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

help:
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' $(MAKEFILE_LIST)

# What is installed for tests is enough to run, so a second set-up is not needed.
$(RUN): pyproject.toml $(LOCK) | $(PY)
	@if [ ! -e $(DEV) ] || [ pyproject.toml -nt $(DEV) ] || [ $(LOCK) -nt $(DEV) ]; then echo 'Installing into $(VENV) …'; $(INSTALL) .; fi
	@printf %s '$(CURDIR)' > $@

$(DEV): pyproject.toml $(LOCK) | $(PY)
	@echo 'Installing into $(VENV), with what the tests need …'
	@$(INSTALL) '.[dev]'
	@printf %s '$(CURDIR)' > $@

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Crossgraph needs Python 3.11 or newer as $(PYTHON); name another one: make PYTHON=python3.12 …' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo 'This Python cannot make virtual environments; on Debian: apt-get install python3-venv' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
