# Everything a person or a machine does with this repository; `make` alone lists it.

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

# Static checks import the settings and connect to nothing.
CHECK_ENV := DATABASE_URL=postgresql://nobody@127.0.0.1:1/nothing REDIS_URL=redis://127.0.0.1:1/0 \
	TOLLKEEPER_SECRET_KEY=static-checks TOLLKEEPER_ENCRYPTION_KEYS=static-checks

.DEFAULT_GOAL := help
.PHONY: help install install-dev chromium demo test lint soak bench format lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## what running needs, into .venv
	@$(PYTHON) requirements/install.py base

install-dev: ## what working on it needs, into .venv
	@$(PYTHON) requirements/install.py dev

demo: install ## everything on this machine, with data to look at (ARGS="--port 8100 --data-dir DIR --no-seed")
	@exec $(BIN)/python manage.py demo $(ARGS)

test: install-dev chromium lint ## every check and every test
	@$(BIN)/pytest -n 2 $(ARGS)

lint: install-dev ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(CHECK_ENV) $(BIN)/mypy .
	$(BIN)/lint-imports

soak: install-dev chromium ## the fault and scale tests at full size
	TOLLKEEPER_SOAK=1 $(BIN)/pytest -m soak $(ARGS)

bench: install ## the figures of speed, each beside its limit
	@exec $(BIN)/python manage.py bench $(ARGS)

format: install-dev ## lay out the code
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --quiet

lock: install-dev ## pin the dependencies of pyproject.toml anew
	$(COMPILE) pyproject.toml --output-file requirements/base.lock
	$(COMPILE) pyproject.toml --group dev --constraints requirements/base.lock --output-file requirements/dev.lock
	$(COMPILE) requirements/litellm.in --output-file requirements/litellm.lock

# The browser tests drive the system's Chromium.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	|| if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
	else \
		echo "The browser tests need Chromium: install your system's package chromium." >&2; exit 1; \
	fi
