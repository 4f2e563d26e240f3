# Everything goes through a virtual environment in .venv, which the first call sets up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HTML := _build/html

.PHONY: book pdf test lab serve lock outputs lint benchmark clean
.DEFAULT_GOAL := book

book: $(READY)  ## execute the chapters and build the HTML
	$(BIN)/jupyter-book build . --warningiserror --keep-going
	@echo "Open $(CURDIR)/$(HTML)/index.html"

pdf: book  ## set the whole book as one PDF, with Chromium; then link it
	$(BIN)/python book/_ext/pdf.py
	$(BIN)/jupyter-book build . --warningiserror --keep-going --quiet

test: $(READY)  ## run every test
	$(BIN)/python -m pytest -n logical

lab: $(READY)  ## open the chapters in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=book

serve: book  ## serve the built book on this machine
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(HTML) 8000

lock:  ## renew requirements.txt from the ranges in pyproject.toml
	@[ -x $(BIN)/uv ] || $(MAKE) $(READY)
	echo '-e .[book,pdf,test]' | $(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 \
		--custom-compile-command 'make lock' --no-annotate --output-file requirements.txt -

outputs: $(READY)  ## run the chapters and renew the stored outputs that the tests compare
	$(BIN)/jupyter execute --inplace book/*.ipynb
	$(BIN)/nbstripout --keep-count book/*.ipynb

lint: $(READY)  ## check the style of code and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

benchmark: book  ## print what the pages weigh, and ratios of speed, measured in one run
	$(BIN)/python tests/benchmark.py

clean:  ## remove what was built, the environment included
	rm -rf $(VENV) _build *.egg-info

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13), \
		f"Python 3.11 to 3.13 is needed, not {sys.version.split()[0]}: try make PYTHON=python3.12"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@
