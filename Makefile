# `make help` lists the targets. Each sets up what it needs: the active virtual environment, else one in .venv.

PYTHON3 ?= python3
VENV := $(if $(VIRTUAL_ENV),$(VIRTUAL_ENV),.venv)
BIN := $(VENV)/bin
STAMP := $(VENV)/.peftrec-installed
STRATEGIES := full,frozen,bitfit,lora,adapter,iisan,iisan_cached,id
TABLES := main efficiency memory-efficient modality layers branches blocks towers norms user-encoders objectives cold-start multi-interest series
SCALE ?= tiny
EVERYWHERE := not slow and not gpu and not benchmark

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install quickstart list tables $(TABLES:%=table-%) test test-integration test-all lint format tiny-towers benchmark \
	gpu-acceptance notebook docs wheel clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp holds the folder that was installed: an environment may serve another checkout in between.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing peftrec into $(VENV), which takes some minutes"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@echo "$(CURDIR)" > $@

$(BIN)/python:
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "peftrec needs Python 3.11 or newer: make PYTHON3=python3.11 ...")'
	$(PYTHON3) -m venv $(VENV)

install: $(STAMP) ## Install the package and its development tools

quickstart: $(STAMP) ## Compare eight strategies on the built-in data; ends in the table
	$(BIN)/peftrec train -m experiment=quickstart strategy=$(STRATEGIES) measure=never

list: $(STAMP) ## The tables, what each runs, what is done: make list [SCALE=tiny|real|paper]; make table-main builds one
	@$(BIN)/peftrec table scale=$(SCALE)

tables: $(STAMP) ## Build every table, one after the other: make tables [SCALE=tiny]; make list then says how long each took
	@failed=0; for name in $(TABLES); do $(MAKE) --no-print-directory table-$$name || failed=1; done; exit $$failed

# make table-NAME [SCALE=tiny|real|paper] [DATA=DIR] [SET="KEY=VALUE ..."]; conf/tables.yaml says what each runs.
BUILD_TABLE = $(BIN)/peftrec table $* scale=$(SCALE) $(if $(DATA),root=$(DATA)) $(SET)
$(filter-out table-efficiency,$(TABLES:%=table-%)): table-%: $(STAMP)
	$(BUILD_TABLE)

# A job that does not fit the device is a result (status 1): its rate is missing, and make fails at the end.
table-efficiency: table-%: $(STAMP)
	@$(BUILD_TABLE); status=$$?; test $$status -le 1 || exit $$status; \
	$(BIN)/python benchmarks/share_of_matrix_rate.py runs/table_$*_$(SCALE) && exit $$status

test: $(STAMP) ## Run the quick tests: laws, arithmetic, formats, messages
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "$(EVERYWHERE) and not integration" --durations=30 --durations-min=1

test-integration: $(STAMP) ## Run those of whole runs, which are trained, killed, measured and served
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "$(EVERYWHERE) and integration" --durations=30 --durations-min=1

test-all: $(STAMP) ## Run all tests that this machine can run
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not benchmark"

lint: $(STAMP) ## Check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(STAMP) ## Mend style and formatting
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

tiny-towers: $(STAMP) ## Train the tiny towers that the package ships (a few minutes)
	$(BIN)/python -m peftrec.tiny_towers.pretrain

benchmark: $(STAMP) ## Measure a training step of iisan_cached against this machine's arithmetic
	$(BIN)/python benchmarks/cached_step.py

# Nine minutes at most: each part is a process that is killed at its limit, and what is known is written after each.
gpu-acceptance: $(STAMP) ## Steps, memory and store building at the paper's shape on one GPU: [PUBLISHED=DIR] [DATA=DIR] [OUT=DIR]
	$(BIN)/python benchmarks/gpu_acceptance.py --out $(or $(OUT),runs/gpu_acceptance) \
		$(if $(PUBLISHED),--published $(PUBLISHED)) $(if $(DATA),--data-root $(DATA)) $(ACCEPTANCE)

notebook: $(STAMP) ## Run the notebooks as they stand in the repository
	$(BIN)/python -m pytest --nbmake notebooks

docs: $(STAMP) ## Write the page of keys, build the site into build/docs; a warning is an error
	$(BIN)/python docs/build_site.py

wheel: $(STAMP) ## Build the wheel into dist
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

clean: ## Remove what building and testing left behind; runs and .venv stay
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache
	find src tests -name __pycache__ -type d -exec rm -rf {} +
