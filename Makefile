# `make demo` and `make test` need nothing but Python 3.11 or later and a package registry.

PYTHON ?= $(or $(shell command -v python3.11),python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test nightly lint bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Start the servers, run a made-up day, show who sees what, leave the stack up
	$(BIN)/maplebridge demo --fresh
	@echo
	@echo "Look around:  $(BIN)/maplebridge --help"
	@echo "Stop it:      $(BIN)/maplebridge down          (down --wipe removes its files too)"

test: $(READY) ## Run all tests but the nightly ones, on servers of their own
	$(BIN)/pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder

nightly: $(READY) ## Run what takes minutes: an outage, a million mutations, every decision on who sees what
	$(BIN)/pytest -m nightly -rP

lint: $(READY) ## Check style, types, contracts and policies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p maplebridge
	$(BIN)/mypy --explicit-package-bases tests
	$(BIN)/maplebridge schema lint
	$(BIN)/maplebridge policy check
	$(BIN)/maplebridge policy test

bench: $(READY) ## Measure publishing, combining, opening and plans, each beside a bare loop
	$(BIN)/maplebridge bench publish
	$(BIN)/maplebridge bench combine
	$(BIN)/maplebridge bench seal
	$(BIN)/maplebridge bench policy

clean: ## Stop and wipe the stack of .maplebridge; remove the environment and caches
	@if [ -x $(BIN)/maplebridge ] && [ -f .maplebridge/localstack.json ]; then \
		$(BIN)/maplebridge down --wipe --home .maplebridge; fi
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# hatchling reads the layout's symbolic links, so an editable install sees every change
$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { \
		echo "Maple Bridge needs Python 3.11 or later, and there is no $(PYTHON)." \
			"Install it, or name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Maple Bridge needs Python 3.11 or later; $(PYTHON) is" \
			"$$($(PYTHON) -V). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[dev]' --constraint constraints.txt
	@touch $@
