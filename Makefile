# make demo: set up, and train the default run.   make test: set up, and check what changes before a commit.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
# uv where it is installed, pip otherwise; both take the versions of constraints.txt
UV := $(shell command -v uv 2>/dev/null)
INSTALL := $(if $(UV),$(UV) pip install --quiet --python $(VENV)/bin/python,$(RUN) pip install --quiet --disable-pip-version-check) \
	--constraint constraints.txt --editable
PYTEST := $(RUN) pytest --numprocesses logical --dist worksteal
unexport PYTHONDONTWRITEBYTECODE    # or each process would compile the package and the tests again

.PHONY: help demo check test test-all test-matrix test-newest test-lowest test-torchvision docs clean
.NOTPARALLEL:  # under make -j too: a run must not meet an install half done

help:
	@echo "make demo      set up, and train the default run on images that Copycat draws"
	@echo "make test      set up, and check before a commit: ruff, mypy, import-linter and the fast tests"
	@echo "make test-all  the same, and every other test: CI runs it"
	@echo "make test-matrix  a part of the tests with other packages: test-newest, test-lowest and test-torchvision"
	@echo "make docs      build the documentation, in build/docs/index.html"
	@echo "make clean     remove the environment and what the tools cached; outputs/ and data/ stay"
	@echo "With another Python: make demo PYTHON=python3.12"

demo: $(VENV)/.runtime
	$(RUN) copycat train
	@echo "To type copycat yourself: source $(VENV)/bin/activate"

check: $(VENV)/.tools
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy --num-workers $(shell getconf _NPROCESSORS_ONLN)
	$(RUN) mypy --num-workers $(shell getconf _NPROCESSORS_ONLN) --platform win32 --cache-dir .mypy_cache/win32 src/copycat src/hydra_plugins
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/hadolint Dockerfile

test: check
	$(PYTEST) -m 'not slow and not browser and not server and not torchvision'

test-all: check    # one more than there are processors, as many tests wait for processes and servers
	$(PYTEST) --numprocesses $$(($$(getconf _NPROCESSORS_ONLN) + 1)) -m 'not torchvision'

test-matrix: test-newest test-lowest test-torchvision

test-newest test-lowest test-torchvision: test-%:
	.ci/matrix $*

docs: $(VENV)/.tools
	$(RUN) sphinx --quiet --fresh-env --fail-on-warning --keep-going --nitpicky docs build/docs
	@echo "build/docs/index.html"

# One environment, in two layers: what a run needs, then the tools that check it. Each leaves a file when it is done,
# so that it is done once, and again when the packages asked for change.
$(VENV)/.runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 15) or \
		sys.exit("copycat: expected Python 3.11 to 3.14; got %d.%d. Type make PYTHON=python3.12, or another of these." % v)'
	@test -x $(VENV)/bin/python || $(if $(UV),$(UV) venv --quiet --seed --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV))
	@echo "Installing PyTorch, Lightning and Hydra into $(VENV) by $(if $(UV),uv,pip): once, some minutes; PyTorch is the largest"
	@$(INSTALL) .
	@touch $@

$(VENV)/.tools: $(VENV)/.runtime
	@echo "Installing the tools that check, and all extras: once, some minutes; Ray, ONNX and Playwright are the largest"
	@$(INSTALL) '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* dist build
