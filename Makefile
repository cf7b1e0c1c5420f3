# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
DEMO := checkpoints/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo speedrun reproduce general page test test-slow check format docs clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# The stamp is younger than what it was installed from, or the installation runs again.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[plot,moses,clean,documents,serve,export,tensorboard,dev]'
	touch $@

setup: .venv/.installed ## create .venv with the program and all that its tests need

demo: setup ## train on the bundled corpus, score, translate, draw attention (about 3 minutes)
	$(BIN)/python -m data_prep.sample
	$(BIN)/translator train --data sample --preset demo --run $(DEMO)
	$(BIN)/translator evaluate --model $(DEMO) --data sample --split test
	$(BIN)/translator translate --model $(DEMO) --attention $(DEMO)/attention.png \
	  "The old teacher bought three red apples because he was hungry."
	$(BIN)/translator translate --model $(DEMO) \
	  "Tomorrow, the boy will not read the book." "My sister closes the window in the kitchen."
	@echo
	@echo "The attention picture: $(DEMO)/attention.png"
	@echo "Next, with the shipped model (it knows image captions):"
	@echo "  $(BIN)/translator translate \"A dog runs along the beach.\""
	@echo "  $(BIN)/translator info"
	@echo "  $(BIN)/translator train --help"

speedrun: setup ## Multi30k from nothing to 38.0 BLEU, timed; DATA=FOLDER or the hub, SEED=1, OPTIONS
	$(BIN)/python benchmarks/speedrun.py --data $(or $(DATA),multi30k) --seed $(or $(SEED),1) $(OPTIONS)

reproduce: setup ## train the shipped models again from DATA=FOLDER (about 12 hours; says what it needs)
	@test -n "$(DATA)" || { echo "Name the folder that holds multi30k/ and wmt_news/: make reproduce DATA=FOLDER"; exit 1; }
	PATH="$(CURDIR)/$(BIN):$$PATH" bash checkpoints/reproduce.sh $(DATA) checkpoints/reproduced

general: setup ## make the general models again from DATA=FOLDER (minutes on a GPU; says what it needs)
	@test -n "$(DATA)" || { echo "Name the folder that holds general/ and multi30k/: make general DATA=FOLDER"; exit 1; }
	PATH="$(CURDIR)/$(BIN):$$PATH" bash checkpoints/general.sh $(DATA) checkpoints/general $(OPTIONS)

page: setup ## write page.html: the captions model as one page that works offline
	$(BIN)/translator export multi30k-en-de --to html page.html

test: setup ## run the tests (about 8 minutes)
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: setup ## run the tests that take longer: the wheel, kills, README commands
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow --durations=10

check: setup ## format, lint and type checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py checkpoints/*.py
	$(BIN)/mypy benchmarks/gpu/*.py

format: setup ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup ## write docs/settings.md again, from the settings themselves
	$(BIN)/python docs/make_settings.py

clean: ## remove the environment and caches (runs in checkpoints/ stay)
	rm -rf .venv dist build .mypy_cache .pytest_cache .ruff_cache
