# Two commands matter: `make demo` and `make test`. Each sets up what it needs; make and Python >= 3.10 are all that is
# needed before them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup packages demo demo-down test bench check format clean

help:
	@echo 'make demo        a three-member TLS etcd on three lab hosts on this machine, and its report (root)'
	@echo 'make demo-down   takes it down'
	@echo 'make test        all tests, those on lab hosts included (root)'
	@echo 'make bench       what runs cost on lab hosts, against plain OpenSSH (root; BENCH="--runs 3 --hosts 0")'
	@echo 'make check       format, lint and types'
	@echo 'make clean       removes what the above made in this folder'

setup: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/packages python3-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

packages:
	@.ci/packages lab

demo: setup packages
	@.ci/demo up

demo-down: setup
	@.ci/demo down

test: setup
	@if [ "$$(id -u)" = 0 ] || [ "$${CI-}" = true ]; then .ci/packages tests; \
	else echo 'not root: tests on lab hosts are skipped'; fi
	@.ci/test

bench: setup packages
	$(BIN)/python -m benchmarks $(BENCH)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis demo
