# `make help` lists the targets. Each sets up what it needs: the active virtual environment, else one in .venv.

PYTHON3 ?= python3
VENV := $(if $(VIRTUAL_ENV),$(VIRTUAL_ENV),.venv)
BIN := $(VENV)/bin
STAMP := $(VENV)/.peftrec-installed
EMBEDDED := full,adapter,lora,bitfit
DECOUPLED := iisan,iisan_cached
STRATEGIES := full,frozen,bitfit,lora,adapter,iisan,iisan_cached,id
QUICK := not slow and not gpu and not benchmark

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: efficiency-sets help install norm-set quickstart table-cold-start table-efficiency table-efficiency-small \
	table-norms table-series test test-all lint format tiny-towers benchmark notebook wheel clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

quickstart: $(STAMP) ## Compare all strategies on the built-in data; ends in the table
	$(BIN)/peftrec train -m experiment=quickstart strategy=$(STRATEGIES)

table-efficiency: $(STAMP) ## Costs at the paper's shape on one GPU, beside the paper's: make table-efficiency DATA=DIR
	@test -n "$(DATA)" || { echo "say where Amazon Scientific lies: make table-efficiency DATA=DIR" >&2; exit 2; }
	$(MAKE) --no-print-directory efficiency-sets NAME=paper_efficiency WHERE="data.root=$(DATA)"

table-efficiency-small: $(STAMP) ## The same road on a CPU: built-in data, tiny towers, two epochs
	$(MAKE) --no-print-directory efficiency-sets NAME=small_efficiency \
		WHERE="data=synthetic ~data.rendered_images towers=tiny trainer=cpu trainer.max_epochs=2"

# Two sets: one batch for all, then the paper's batches.
# One job at a time, so that none is timed beside another. A job that does not fit the device is a result: the other
# sets and the tables follow all the same, and make fails at the end.
EFFICIENCY = $(BIN)/peftrec train -m experiment=paper_efficiency hydra.launcher.slots=1 $(WHERE)
efficiency-sets:
	@failed=0; \
	$(EFFICIENCY) name=$(NAME) strategy=$(EMBEDDED),$(DECOUPLED) || failed=1; \
	$(EFFICIENCY) name=$(NAME)_batches batch_size=32 strategy=$(EMBEDDED) || failed=1; \
	$(EFFICIENCY) name=$(NAME)_batches batch_size=64 strategy=$(DECOUPLED) || failed=1; \
	$(BIN)/peftrec report runs/$(NAME) --published iisan || failed=1; \
	$(BIN)/peftrec report runs/$(NAME)_batches --published iisan || failed=1; \
	$(BIN)/python benchmarks/share_of_matrix_rate.py runs/$(NAME) || failed=1; \
	exit $$failed

table-norms: $(STAMP) ## Norms of the user encoder, with and without warm-up: make table-norms [DATA=DIR [CHECKPOINT=DIR]]
	$(MAKE) --no-print-directory norm-set NAME=norms WARMUP=96
	@test -z "$(DATA)" || $(MAKE) --no-print-directory norm-set NAME=norms_scientific WARMUP=190 \
		WHERE="data.root=$(DATA) $(if $(CHECKPOINT),towers.text.checkpoint=$(CHECKPOINT))"

# Three sweeps: every norm at both places; FixNorm; small initialisation. Each with and without warm-up.
norm-set:
	$(BIN)/peftrec train -m experiment=$(NAME) $(WHERE) learning_rates.warmup_steps=0,$(WARMUP) \
		user_encoder.placement=post,pre user_encoder.norm=layer,rms,scale
	$(BIN)/peftrec train -m experiment=$(NAME) $(WHERE) learning_rates.warmup_steps=0,$(WARMUP) \
		user_encoder.placement=post,pre user_encoder.norm=layer,scale user_encoder.fix_norm=true
	$(BIN)/peftrec train -m experiment=$(NAME) $(WHERE) learning_rates.warmup_steps=0,$(WARMUP) \
		user_encoder.placement=post,pre user_encoder.initialisation=small
	$(BIN)/peftrec report runs/$(NAME)

table-cold-start: $(STAMP) ## Heater and its baselines on CiteULike: make table-cold-start DATA=DIR
	@test -n "$(DATA)" || { echo "say where CiteULike lies: make table-cold-start DATA=DIR" >&2; exit 2; }
	$(BIN)/peftrec coldstart -m pairs=citeulike pairs.root=$(DATA) training.epochs=5 training.decay_epochs=1 \
		model=heater,dropoutnet,heater_without_experts,heater_without_constraint,content_neighbours,popularity

table-series: $(STAMP) ## Accuracy of GTN on JapaneseVowels over five seeds
	$(BIN)/peftrec classify

test: $(STAMP) ## Run the tests, without those that are slow or need a GPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "$(QUICK)" --durations=30 --durations-min=1

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

notebook: $(STAMP) ## Run the notebooks as they stand in the repository
	$(BIN)/python -m pytest --nbmake notebooks

wheel: $(STAMP) ## Build the wheel into dist
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

clean: ## Remove what building and testing left behind; runs and .venv stay
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache
	find src tests -name __pycache__ -type d -exec rm -rf {} +
