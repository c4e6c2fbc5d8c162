# The course's commands: each is `python course.py NAME`. `make help` lists them.
PYTHON ?= python3
REPOSITORY ?=
ONLY ?=
export PORT OPEN

COMMANDS := lab links quick test lint unit browser lessons faults pages colab notebooks figures gallery site bench mutants strict release

.PHONY: help install clean $(COMMANDS)

help:
	@$(PYTHON) course.py help
	@echo "  make clean removes what was built; .venv stays"

$(COMMANDS):
	@$(PYTHON) course.py $@ $(ONLY) $(REPOSITORY)

install:
	@$(PYTHON) course.py install test

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
