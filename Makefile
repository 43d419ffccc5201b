# `make` alone lists what can be done. Environments are made on first use and kept until a requirements file changes.
.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
PY := $(BIN)/python
PIP_FLAGS := --quiet --disable-pip-version-check

.venv/.run: requirements.txt
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@echo "installing requirements.txt (torch takes a minute)"
	@$(PY) -m pip install $(PIP_FLAGS) -r requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.run
	@echo "installing requirements-dev.txt"
	@$(PY) -m pip install $(PIP_FLAGS) -r requirements-dev.txt
	@touch $@

.venv-emulators/.done: local/requirements.txt
	@test -x .venv-emulators/bin/python || $(PYTHON) -m venv .venv-emulators
	@echo "installing the embedded AWS"
	@.venv-emulators/bin/python -m pip install $(PIP_FLAGS) -r $<
	@touch $@

# checkov pins a boto3 that the system does not use, and neither is needed to run it.
.venv-checks/.done: deploy/checks/requirements.txt
	@test -x .venv-checks/bin/python || $(PYTHON) -m venv .venv-checks
	@echo "installing what checks the templates"
	@.venv-checks/bin/python -m pip install $(PIP_FLAGS) -r $<
	@touch $@

.PHONY: help install run smoke deploy destroy test fuzz simulate drill-burst drill-elastic drill-rolling bench bench-requests bench-web check fmt lock
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

install: .venv/.dev .venv-emulators/.done ## create the environments (the other targets do it by themselves)

run: .venv/.run .venv-emulators/.done ## run the whole system on this machine until Ctrl-C
	@$(PY) -m local run

smoke: install ## classify real photographs on a stack of its own, or with STACK=… or URL=… on a deployed one
	@$(PY) -m local smoke $(if $(STACK),--stack "$(STACK)") $(if $(URL),--url "$(URL)") $(if $(START),--start) $(FLAGS)

# PARAMS holds NAME=VALUE pairs, quoted as in a shell; FLAGS are the command's own (python -m deploy deploy --help).
deploy: .venv/.run ## create or update STACK on AWS, after a preview and a question: make deploy STACK=… PARAMS='MaxNodes=9'
	@test -n "$(STACK)" || { echo "error: which stack? make deploy STACK=photos PARAMS='AllowedCidr=203.0.113.0/24 PublicNodes=true'" >&2; exit 2; }
	@$(PY) -m deploy deploy "$(STACK)" $(PARAMS) $(FLAGS) $(if $(YES),--yes)

destroy: .venv/.run ## delete STACK from AWS, with DELETE_DATA=1 its photos, too
	@test -n "$(STACK)" || { echo "error: which stack? make destroy STACK=photos" >&2; exit 2; }
	@$(PY) -m deploy destroy "$(STACK)" $(FLAGS) $(if $(YES),--yes) $(if $(DELETE_DATA),--delete-data)

test: install ## run all tests
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

fuzz: install ## ask the API everything that its OpenAPI document allows and forbids (2 min)
	@$(PY) -m tests.fuzz

simulate: install ## compare scaling policies on three traces, with pictures in .local/simulate (2 min)
	@$(PY) -m scaler simulate --sweep --plots .local/simulate

drill-burst: install ## 416 photos against a cap of 4 nodes, drawn over time (3 min)
	@$(PY) -m bench.drill_burst

drill-elastic: install ## batches of photos on one fixed node and on an elastic fleet (15 min)
	@$(PY) -m bench.drill_elastic

drill-rolling: install ## a new version of the nodes while 200 photos are in flight (2 min)
	@$(PY) -m bench.drill_rolling

bench: install ## the whole service against a bare loop over the model, on this machine (5 min)
	@$(PY) -m bench.service

bench-requests: install ## count AWS requests a task, stock Celery against this (5 min)
	@$(PY) -m bench.requests

bench-web: install ## uploads a second and the web process's memory: 416 photos at once, 300 people waiting (1 min)
	@$(PY) -m bench.web

check: install .venv-checks/.done ## lint, check types, architecture, scripts and templates
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy -m celeryconfig -p bench -p deploy -p local -p scaler -p tasks -p webapp
	@$(BIN)/lint-imports
	@$(BIN)/shellcheck $$(git ls-files .ci '*.sh')
	@.venv-checks/bin/hcl2tojson deploy/image/classifier.pkr.hcl >/dev/null
	@.venv-checks/bin/cfn-lint deploy/templates/*.yaml
	@LOG_LEVEL=ERROR .venv-checks/bin/checkov --config-file deploy/checks/checkov.yaml

fmt: install ## format the code and mend what can be mended
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lock: install ## pin requirements*.in to requirements*.txt
	@# Without its local version ("+cpu") torch's pin holds on every machine, whichever build it gets.
	@for part in requirements requirements-runtimes requirements-dev local/requirements deploy/checks/requirements; do \
		$(BIN)/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-find-links --no-annotate \
			--output-file $$part.txt $$part.in && sed -i 's/^\(torch==[0-9.]*\)+[a-z0-9]*/\1/' $$part.txt || exit 1; \
	done
