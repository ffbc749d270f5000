# make demo: see it work.  make test: every check of the project.  make quick: the quick ones.
# make site: the documents as a site, in build/site.
# make benchmark: how fast it is beside its peers; ARGS=--all for the whole grid.
# They set themselves up, in .venv or benchmarks/.venv, with nothing but Python 3.11 or newer and
# make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test quick check site benchmark clean

demo: $(VENV)/.with-report,serve
	$(BIN)/quickstudy demo

test: $(VENV)/.with-dev check
	$(BIN)/pytest -n 2 --dist loadgroup

quick: $(VENV)/.with-dev check
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow"

check: $(VENV)/.with-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# The site has the layout of the repository, so links between documents lead to the same place in both.
site: $(VENV)/.with-docs
	rm -rf build/pages
	mkdir -p build/pages/results
	cp -R README.md CONTRIBUTING.md docs build/pages
	cp -R results/studies build/pages/results
	$(BIN)/zensical build --clean --strict

$(VENV)/.with-%: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "quickstudy needs Python 3.11 or newer: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@

# The peers' environment is their own: a build of torch that is pinned, and after it peers that
# may not bring another one along. A peer that does not install is left out.
PEERS := benchmarks/.venv
PIP := $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check

benchmark: $(PEERS)/.made
	$(PEERS)/bin/python -m benchmarks $(ARGS)

$(PEERS)/.made: benchmarks/peers.txt pyproject.toml
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PIP) torch==2.13.0
	$(PIP) --editable .
	grep -v '^#' $< | while read peer; do $(PIP) --no-deps "$$peer" || echo "$$peer is left out: it does not install"; done
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) demo build .cache
