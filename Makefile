# Everything a newcomer needs: `make run`, `make test`. `make help` lists the rest.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TARGETS ?= cpu mlflow
WORKERS ?= 2
# Only constraints.txt fixes versions. torch comes first, so that pip takes a CPU build where it has one.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-compile -c constraints.txt
# Runs and tests start hundreds of processes: Python keeps what it has compiled, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run run-services run-containers images results results-full lock test attack lint ui browser postgresql clean
help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	@echo "setting up $(VENV) (once; about two minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) pip setuptools wheel torch
	@$(INSTALL) --no-build-isolation -e '.[dev]'
	@touch $@

run: $(READY)  ## The main job on the simulated corpus: raw recordings in, a registered champion out
	@$(BIN)/labram run

run-services: $(READY) postgresql  ## The demo with patches, artifacts and models on the services of a cluster
	@$(BIN)/python -m tests.integration

images: $(READY)  ## Images for a cluster (TARGETS="cpu gpu mlflow"); REGISTRY=… pushes them and writes their digests into k8s/images
	@$(BIN)/python k8s/images/build.py $(TARGETS) $(if $(REGISTRY),--registry $(REGISTRY)) $(if $(PLAIN_HTTP),--plain-http) $(if $(BASE),--base $(BASE))

run-containers: $(READY)  ## The demo with one container per task; compares its models with those of `make run`
	@$(BIN)/python k8s/images/build.py cpu
	@$(BIN)/labram run
	@$(BIN)/labram run --containers --workspace .labram/containers
	@$(BIN)/python k8s/images/equal.py .labram .labram/containers

lock: $(READY)  ## The hashed requirements of the images, from pyproject.toml and constraints.txt
	@$(BIN)/python k8s/images/lock.py

results: $(READY)  ## docs/results.md again: the open datasets in DATA=FOLDER; tables and curves
	@test -n "$(DATA)" || { echo "say where the recordings are: make results DATA=FOLDER"; exit 2; }
	@$(BIN)/labram corpus ingest $(DATA) --store .labram/store --recipe real-small
	@$(BIN)/labram run --data $(DATA) --recipe real-small || test $$? = 3
	@$(BIN)/python benchmarks/plot_training.py .labram docs/results.svg
	@$(BIN)/python -m benchmarks.results .labram/store .labram/results \
		--backbone "$$(ls -td .labram/pipeline/*/pretrain/model | head -1)"
	@echo "table and forest plot: .labram/results.md, .labram/results.svg"

results-full: $(READY)  ## After `make results`: strategies that train, and networks, on workload and SSVEP; hours, and it resumes
	@$(BIN)/python -m benchmarks.results_full .labram/store .labram/results-full \
		--backbone "$$(ls -td .labram/pipeline/*/pretrain/model | head -1)"
	@echo "table and forest plot: .labram/results-full.md, .labram/results-full.svg"

test: $(READY) browser  ## The tests but those of `make attack`, in as many processes as WORKERS says
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

attack: $(READY)  ## Hostile inputs, kills and outages at length, counted by kind; KINDS="kills fuzz", generators in CASES=FOLDER
	@$(if $(CASES),LABRAM_ATTACK_CASES=$(CASES)) LABRAM_TEST_KILLS=40 LABRAM_HOSTILE_CASES=2500 \
		$(BIN)/python -m tests.attack -n $(WORKERS) --dist loadfile $(KINDS)

lint: $(READY)  ## Style, types, spelling, layering; without `make test` beside it also compiled pipelines and manifests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/codespell
ifeq ($(filter test,$(MAKECMDGOALS)),)
	@for what in retrain pretrain_only adapt "study --recipe demo-study"; do \
		$(BIN)/labram pipeline compile $$what --image labram-python:$$(git rev-parse HEAD) --out .labram/lint || exit 1; done
	@$(BIN)/python -m pytest -q tests/k8s/test_manifests.py tests/k8s/test_custom_kinds.py
endif

ui: $(READY)  ## Open MLflow on the runs and models of this clone
	@echo "MLflow at $$($(BIN)/python -m labram.tracking.run_pages .labram) (Ctrl-C ends it)"
	@MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --host 127.0.0.1 --port 5000 \
		--backend-store-uri sqlite:///$(CURDIR)/.labram/mlflow/mlflow.db

browser:  # The report is tested in a real browser; on a Debian machine as root it is installed if absent
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || command -v chromium-browser >/dev/null || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } || \
		echo "no Chromium here: the browser test will be skipped (install the package chromium to run it)"

postgresql:  # On a Debian machine as root it is installed if absent
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null; } || true

clean:  ## Remove the workspace .labram (environment and corpus stay)
	rm -rf .labram
