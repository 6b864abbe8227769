# make demo: set up, and train the default job.   make test: set up, and pass every check.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALL := $(RUN) pip install --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: help demo test clean
.NOTPARALLEL:  # under make -j too: a run must not meet an install half done

help:
	@echo "make demo   set up, and train the default job on data that ships with the package"
	@echo "make test   set up, and pass every check: ruff, mypy, pytest"
	@echo "make clean  remove the environment and what the tools cached; outputs/ and data/ stay"
	@echo "With another Python: make demo PYTHON=python3.12"

demo: $(VENV)/.runtime
	$(RUN) copycat train
	@echo "To type copycat yourself: source $(VENV)/bin/activate"

test: $(VENV)/.tools
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) pytest

# One environment, in two layers: what a run needs, then the tools that check it. Each leaves a file when it is done,
# so that it is done once, and again when the packages asked for change.
$(VENV)/.runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or \
		sys.exit("copycat: expected Python 3.11 to 3.13; got %d.%d. Type make PYTHON=python3.12, or another of these." % v)'
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	@touch $@

$(VENV)/.tools: $(VENV)/.runtime
	$(INSTALL) '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build
