# Everything a person or a machine does with this repository; `make` alone lists it.

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

# Static checks import the settings and connect to nothing.
CHECK_ENV := DATABASE_URL=postgresql://nobody@127.0.0.1:1/nothing REDIS_URL=redis://127.0.0.1:1/0 \
	TOLLKEEPER_SECRET_KEY=static-checks TOLLKEEPER_ENCRYPTION_KEYS=static-checks

.DEFAULT_GOAL := help
.PHONY: help install install-dev install-litellm chromium demo test lint soak bench screenshots format lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## what running needs, into .venv
	@$(PYTHON) requirements/install.py base

install-dev: ## what working on it needs, into .venv
	@$(PYTHON) requirements/install.py dev

install-litellm: ## a real LiteLLM proxy for the tests, into .litellm
	@$(PYTHON) requirements/install.py litellm

demo: install ## everything on this machine, with data to look at (ARGS="--port 8100 --data-dir DIR --no-seed")
	@exec $(BIN)/python manage.py demo $(ARGS)

# What Python has compiled is kept, whatever the machine says: hundreds of processes start, each with all of this code.
test: export PYTHONDONTWRITEBYTECODE :=
# The static checks need one core for a minute or so, and the tests begin meanwhile.
test: install-dev install-litellm chromium ## every check and every test
	@$(MAKE) --no-print-directory lint > .lint.log 2>&1 & lint=$$!; trap 'kill $$lint 2>/dev/null' EXIT; \
	$(BIN)/pytest -n 4 $(ARGS); tested=$$?; \
	wait $$lint || { cat .lint.log; exit 1; }; \
	exit $$tested

lint: install-dev ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(CHECK_ENV) $(BIN)/mypy .
	cd clients/python && ../../$(BIN)/mypy --config-file pyproject.toml -p tollkeeper_client
	$(BIN)/lint-imports

soak: install-dev install-litellm chromium ## the fault and scale tests at full size
	TOLLKEEPER_SOAK=1 $(BIN)/pytest -m soak $(ARGS)

bench: install ## the figures of speed, each beside its limit
	@exec $(BIN)/python manage.py bench $(ARGS)

screenshots: install-dev chromium ## pictures of every page into docs/screenshots/, of the demo that runs or one of its own
	@exec $(BIN)/python -m tests.browser.documented

format: install-dev ## lay out the code
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --quiet

lock: install-dev ## pin the dependencies of pyproject.toml anew
	$(COMPILE) pyproject.toml --output-file requirements/base.lock
	$(COMPILE) pyproject.toml --group dev --constraints requirements/base.lock --output-file requirements/dev.lock
	$(COMPILE) requirements/litellm.in --output-file requirements/litellm.lock

# The browser tests drive the system's Chromium; its shell without windows is enough, and quicker.
chromium:
	@for one in chromium-headless-shell chromium chromium-browser google-chrome; do \
		command -v $$one >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq; export DEBIAN_FRONTEND=noninteractive; \
		apt-get install -y -qq --no-install-recommends chromium-headless-shell \
		|| apt-get install -y -qq --no-install-recommends chromium; \
	else \
		echo "The browser tests need Chromium: install your system's package chromium." >&2; exit 1; \
	fi
