# Every target works on a fresh clone with nothing but python3: what it needs is installed into .venv first.
PYTHON ?= python3
BOOTSTRAP = $(PYTHON) console/supervisor/bootstrap.py
PY = .venv/bin/python
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help up test test-engine lint check crash bench seed
CRASH ?= 20

help: ## Running: list all targets
	@awk -F ':.*## |: ' '/^[a-z-]+:.*## / { if ($$2 != group) { group = $$2; printf "\n%s\n", group } \
		printf "  make %-12s %s\n", $$1, $$3 }' $(MAKEFILE_LIST)

up: ## Running: start everything on this machine and keep it running (.env.example lists what can be set)
	@$(BOOTSTRAP) requirements.txt
	@exec $(PY) manage.py up

test: ## Checking: all tests but those on a real engine, on real PostgreSQL and Valkey (TESTS=tests/billing for a part)
	@$(BOOTSTRAP) requirements-dev.txt
	$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile -m "not real_engine" $(TESTS)

test-engine: ## Checking: the engine contract on a real vLLM on this machine's CPU (in .venv-engine)
	@$(BOOTSTRAP) requirements-dev.txt
	$(PY) -m tests.engine_contract.vllm_on_cpu prepare
	$(PY) -m pytest -m real_engine tests

lint: ## Checking: style, types, layers
	@$(BOOTSTRAP) requirements-dev.txt
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports

crash: ## Checking: everything is killed at named points, then each bill is compared with the engines (CRASH=20 minutes)
	@$(BOOTSTRAP) requirements-dev.txt
	$(PY) -m tests.crash --minutes $(CRASH)

check: lint test test-engine ## Checking: what has to pass before a change goes in, with 3 minutes of crash; .ci/run does just this
	@$(MAKE) --no-print-directory crash CRASH=3

bench: ## Measuring: the gateway and the ledger beside nginx and vllm-router, one table (bench/NOTES.md)
	@$(BOOTSTRAP) requirements-dev.txt
	$(PY) -m bench

seed: ## Measuring: an organisation with half a million keys and ten million requests, beside a running `make up` (minutes)
	@$(BOOTSTRAP) requirements.txt
	$(PY) manage.py seed_scale
