.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
# Two processes with as many threads as there are processors: threads that spin while they wait would be in the way.
PYTEST := OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help install demo test test-fast test-lowest check format clean

help: ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed ## set up .venv with tested versions

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "PosterCLIP needs Python 3.10 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[demo,dev]'
	touch $@

demo: install ## train and evaluate a model on the embedded stories, and match posters with it
	$(BIN)/python scripts/demo.py $(DEMO)
	$(BIN)/python scripts/train.py scripts/configs/posterclip.yaml --catalogue $(DEMO)/catalogue \
		--output_dir $(DEMO)/model --feature_cache $(DEMO)/features
	$(BIN)/python scripts/evaluate.py $(DEMO)/model --catalogue $(DEMO)/catalogue
	$(BIN)/python scripts/evaluate.py $(DEMO)/model --catalogue $(DEMO)/catalogue --titles use --plots all \
		--output $(DEMO)/model/report-titles
	$(BIN)/python scripts/card.py $(DEMO)/model/report-test
	$(BIN)/python scripts/match.py $(DEMO)/model --posters $(DEMO)/scans --movies $(DEMO)/movies.csv \
		--output $(DEMO)/matches
	cd $(DEMO) && $(CURDIR)/$(BIN)/python $(CURDIR)/scripts/match.py model catalogue/posters/puss-in-boots.png --plots \
		"A cat in a pair of boots talks his poor master into a castle and a royal marriage." \
		"A captain hunts the white whale that took his leg." \
		"A count leaves his castle in the mountains for London."
	touch $(DEMO)/.made

$(DEMO)/.made:
	$(MAKE) demo

test: install $(DEMO)/.made ## run every test that needs no other data
	POSTERCLIP_DEMO=$(CURDIR)/$(DEMO) $(PYTEST)

test-fast: install ## run the tests that take no more than a few seconds
	$(PYTEST) -m 'not slow and not browser'

# torch stays at the version of constraints.txt: older ones have no CPU build everywhere.
test-lowest: ## run the fast tests with the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --constraint constraints.txt torch
	sed -nE '/^dependencies/,/^dev/s/^ +"([A-Za-z0-9_.-]+)>=([0-9.]+).*/\1==\2/p' pyproject.toml | grep -v '^torch==' | sort -u > .venv-lowest/lowest.txt
	.venv-lowest/bin/pip install --quiet --constraint .venv-lowest/lowest.txt --editable '.[demo,dev]'
	.venv-lowest/bin/python -m pytest -m 'not slow and not browser'

check: install ## lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what was built, the environment included
	rm -rf build runs $(VENV) .venv-lowest *.egg-info .mypy_cache .pytest_cache .ruff_cache
