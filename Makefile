# Everything goes through a virtual environment in .venv, which the first call sets up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HTML := _build/html
PEERS := _build/peers/.ready

.PHONY: book pdf test machines lab serve lock pins outputs lint benchmark clean
.DEFAULT_GOAL := book

book: $(READY)  ## execute the chapters and build the HTML
	@echo "Executing the chapters that need it (all of them: some minutes), then building the pages."
	@$(BIN)/jupyter-book build . --warningiserror --keep-going
	@echo "Open $(CURDIR)/$(HTML)/index.html"

pdf: book  ## set the whole book as one PDF, with Chromium; then link it
	$(BIN)/python book/_ext/pdf.py
	$(BIN)/jupyter-book build . --warningiserror --keep-going --quiet

test: $(READY)  ## run every test: each chapter, whose results the pages are then built from, and the rest
	@failed=0; \
	$(BIN)/python -m pytest -n logical --for-the-build book || failed=1; \
	$(BIN)/python -m pytest -n logical tests || failed=1; \
	exit $$failed

machines: $(READY)  ## run the chapters with the arithmetic of other machines, or just VARIANTS="sse4.2 perturbed-0"
	$(BIN)/python tests/machines.py $(VARIANTS)

lab: $(READY)  ## open the chapters in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=book

serve: book  ## serve the built book on this machine
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(HTML) 8000

lock: UPGRADE := --upgrade
lock: pins  ## renew requirements.txt from the ranges in pyproject.toml

pins:  ## give requirements.txt what is new in pyproject.toml, and leave the pins that it has
	@[ -x $(BIN)/uv ] || $(MAKE) $(READY)
	echo '-e .[book,cluster,pdf,test]' | $(BIN)/uv pip compile --quiet --universal $(UPGRADE) --python-version 3.11 \
		--custom-compile-command 'make lock' --no-annotate --output-file requirements.txt -

outputs: $(READY)  ## run the chapters and renew the stored outputs that the tests compare
	$(BIN)/jupyter execute --inplace book/*.ipynb
	$(BIN)/nbstripout --keep-count book/*.ipynb

lint: $(READY)  ## check the style of code and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

benchmark: book $(PEERS)  ## print what the pages weigh, and ratios of speed, measured in one run
	$(BIN)/python tests/benchmark.py

clean:  ## remove what was built, the environment included
	rm -rf $(VENV) _build *.egg-info

# Old versions of Python must be able to read this, so as to be told.
define CHECK
import shutil, sys
version = sys.version.split()[0]
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit("Python 3.11 to 3.13 is needed, not %s: try make PYTHON=python3.12" % version)
try:
    import ensurepip, venv
except ImportError:
    sys.exit("Python's module venv is missing: install it (on Debian and Ubuntu, python3-venv)")
free = shutil.disk_usage(".").free / 1e9
if free < 3:
    sys.exit("3 GB of disk are needed for the environment, and %.1f GB are free" % free)
print("Setting up %s with Python %s: about 3 GB, some minutes, once." % (sys.argv[1], version))
endef
export CHECK

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c "$$CHECK" $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of requirements.txt (TensorFlow is the largest) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@echo "The environment is ready."
	@touch $@

# JAX and optimistix, to compare with, in an environment of their own; without them, it goes on.
$(PEERS): tests/peers.txt | $(READY)
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@if $(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<; then touch $@; \
	else rm -rf $(@D); echo "JAX and optimistix cannot be had here: the benchmark goes on without them."; fi
