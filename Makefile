# The course's commands. `make help` lists them.
PYTHON ?= python3
PORT ?= 8888
OPEN ?= 1
CPU ?= 0
REPOSITORY ?=
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --disable-pip-version-check --quiet
# JupyterLab asks nobody for news or updates, and asks the learner nothing.
QUIET_LAB = @mkdir -p $(VENV)/share/jupyter/lab/settings && echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' > $(VENV)/share/jupyter/lab/settings/overrides.json
ROOT_FLAG := $(if $(filter 0,$(shell id -u)),--allow-root)

PYTEST := $(RUN) -m pytest -q -n 2 --dist loadfile
# What tells most in little time: blocks against the reference implementations, every exercise's solution and wrong
# answers, the imports, what a widget's base promises, and every control of every widget moved in a browser.
EXERCISES := tests/unit/test_check_exercises.py
QUICK := tests/parity tests/unit/test_packaging.py tests/unit/test_widgets_base.py tests/browser/test_every_control.py \
  $(EXERCISES)::test_the_official_solution_is_accepted \
  $(EXERCISES)::test_each_typical_mistake_is_refused_with_its_own_message

.PHONY: help lab quick test lint unit browser lessons faults colab notebooks figures gallery site bench mutants release links clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile
	@echo "  CPU=1 takes PyTorch's small CPU wheels; PYTHON=, PORT=, OPEN=0 do what they say."

lab: $(VENV)/lab.stamp  ## install the course into .venv and open JupyterLab at the first lesson (PORT=8888, OPEN=0, CPU=1)
	@first=$$($(RUN) -c 'import pathlib; from course_utils.lessons import LESSONS; print(next(x.notebook for x in LESSONS if pathlib.Path("notebooks", x.notebook).exists()))'); \
	$(RUN) -m jupyter lab --port=$(PORT) --port-retries=20 $(ROOT_FLAG) $(if $(filter 0,$(OPEN)),--no-browser) \
	  --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url="/lab/tree/notebooks/$$first"

quick: lint  ## style and types, then the tests that tell most, in a minute and a half
	$(PYTEST) $(QUICK)

test: lint unit browser lessons  ## style, types, unit and parity tests, browser tests, every notebook (REQUIRE_BROWSER=1)

lint: $(VENV)/test.stamp  ## style, types, spelling, normalised notebooks, links
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/codespell course_utils artwork experiments notebooks docs README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md
	$(RUN) tools/notebooks.py check
	$(RUN) tools/links.py --check

unit: $(VENV)/test.stamp  ## unit, parity and property tests
	$(PYTEST) tests --ignore=tests/browser --ignore=tests/faults

browser: $(VENV)/test.stamp  ## widgets alone and lessons in JupyterLab, driven in Chromium (REQUIRE_BROWSER=1 fails where there is none)
	$(PYTEST) tests/browser

lessons: $(VENV)/test.stamp  ## run every notebook under nbval, which also sees what fails inside a widget
	@kept=$$(mktemp -d) && trap 'rm -rf "$$kept"' EXIT && COURSE_PROGRESS="$$kept/progress.json" \
	  $(RUN) -m pytest -q -n 2 --dist loadscope --nbval-lax --nbval-current-env --nbval-cell-timeout=600 -o filterwarnings=default notebooks

faults: $(VENV)/test.stamp  ## bring about what goes wrong in real life, and count it by kind (REQUIRE_BROWSER=1)
	$(PYTEST) -m faults tests

colab: $(VENV)/test.stamp  ## run every notebook alone, in Colab's versions, from its first cell (ONLY=4.1.1)
	$(RUN) tools/colab.py $(ONLY)

notebooks: $(VENV)/test.stamp  ## execute every notebook, store the widgets' pictures, normalise (ONLY=4.1.1 for one)
	$(RUN) tools/notebooks.py run $(ONLY)

figures: $(VENV)/test.stamp  ## redraw every figure into resource/figures
	$(RUN) -m artwork

gallery: $(VENV)/lab.stamp  ## write build/gallery.html: every widget alive on one page, without a kernel
	$(RUN) tools/gallery.py

site: $(VENV)/site.stamp  ## build build/site: the whole course as pages, every widget alive
	$(RUN) site/assemble.py

bench: $(VENV)/test.stamp  ## measure ours beside torch, torchvision, timm and entmax, in one run
	$(RUN) -m benchmarks

mutants: $(VENV)/test.stamp  ## break each mechanism in known ways and see a test fail
	$(RUN) tools/mutants.py

release: $(VENV)/test.stamp  ## build the last commit into dist/, install it outside the tree, find every file, run 4.1.1
	$(RUN) tools/release.py

links:  ## write the repository's address and version into every badge and first cell (REPOSITORY=owner/name)
	$(PYTHON) tools/links.py $(REPOSITORY)

clean:  ## remove what was built; .venv stays
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else "The course needs Python 3.11 or newer; %s is %d.%d. Name a newer one: make $(MAKECMDGOALS) PYTHON=python3.13" % (sys.executable, *v))'
	$(PYTHON) -m venv $(VENV)
ifeq ($(CPU),1)
	$(PIP) --index-url https://download.pytorch.org/whl/cpu torch torchvision
endif

$(VENV)/lab.stamp: pyproject.toml | $(VENV)/bin/python
	@echo "Installing the course into $(VENV); the first time this takes a few minutes."
	$(PIP) -e ".[lab]"
	$(QUIET_LAB)
	@touch $@

$(VENV)/test.stamp: pyproject.toml | $(VENV)/bin/python
	@echo "Installing the course and its test tools into $(VENV); the first time this takes a few minutes."
	$(PIP) -e ".[test]"
	$(QUIET_LAB)
	@touch $@ $(VENV)/lab.stamp $(VENV)/site.stamp

$(VENV)/site.stamp: pyproject.toml | $(VENV)/bin/python
	@echo "Installing the course and what builds its pages into $(VENV); the first time this takes a few minutes."
	$(PIP) -e ".[site]"
	@touch $@
