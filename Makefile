# make demo   train two real models, leave their evidence in demo/   (first use installs into .venv)
# make test   lint, types, layers and all tests
# make spark  Apache Spark for the tests that need it (430 MB, needs Java 17)
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test lint bench ui lock spark clean

demo: $(STAMP)
	@$(BIN)/aims demo $(ARGS)

test: $(STAMP) lint
	$(BIN)/python -m pytest -n auto $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py $(ARGS)

# MLflow's own UI on the demo's store.
ui: $(STAMP)
	@test -f demo/mlflow.db || $(BIN)/aims demo
	cd demo && ../$(BIN)/mlflow server --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000

# Exact versions for every supported Python and platform; needs uv.
lock:
	uv pip compile --universal --python-version 3.11 --extra dev --no-header --no-annotate \
		--constraint lock-constraints.txt pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --extra spark --no-header --no-annotate \
		--constraint lock-constraints.txt --constraint requirements.lock pyproject.toml -o - 2>/dev/null \
		| grep -E '^(pyspark|py4j)==' > requirements-spark.lock

spark: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-spark.lock

$(STAMP): requirements.lock pyproject.toml setup.cfg
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache
