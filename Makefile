PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# one more than cores: that with the browser's tests waits for the browser much of the time
WORKERS = $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
INSTALLED = $(VENV)/.installed

# compiled tests and modules are kept: without them each test process, and each that it starts, compiles them anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick browser lint types format clean

demo: $(INSTALLED)
	$(BIN)/seviz demo -o runs/demo

test: $(INSTALLED)
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

# what the change touches, nearest first, in a minute
quick: $(INSTALLED)
	$(BIN)/pytest -n auto --ignore tests/browser --touched -q

browser: $(INSTALLED)
	$(BIN)/pytest tests/browser

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(INSTALLED)
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
