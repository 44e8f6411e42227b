# Each target does all the set-up it needs: a virtual environment in .venv with the pinned versions.
PYTHON ?= $(firstword $(foreach python,python3.11 python3.12 python3.13 python3,$(if $(shell command -v $(python)),$(python))))
BIN := .venv/bin
LOCAL = $(BIN)/azureml-local
export AZUREML_LOCAL_HOME ?= $(CURDIR)/.azureml-local
INSTALLED := .venv/.installed

.PHONY: install home run test notebooks test-old-sdks check clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "error: $(PYTHON) is $$($(PYTHON) -V); Python 3.11 to 3.13 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo 'Installing into .venv: some minutes, 2.3 GB'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,azure]'
	@# A test compares with its plain torch code; the GPU compiler that it depends on is not needed for that.
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps liger-kernel
	@touch $@

home:
	@# Before the installation; `azureml-local` has the same rule.
	@case "$$AZUREML_LOCAL_HOME" in *[][:space:]?\;\&\|\<\>\(\)\$$\`\"\'\\*[{}\!]*) \
		printf 'error: a workspace cannot be kept at %s, for there is a blank or a sign of a shell in the path;\n' \
			"$$AZUREML_LOCAL_HOME"; \
		echo 'give it another place: make $(MAKECMDGOALS) AZUREML_LOCAL_HOME=/tmp/workspace'; exit 1;; esac

# The whole journey: the pipeline on the sample data, then the model registered, deployed and asked.
run: home install
	@$(LOCAL) up
	@trap '$(LOCAL) down > /dev/null' EXIT; \
	$(LOCAL) run pipelines/quickstart.yml --register mlflow_model=distilbert-fill-mask && \
	$(LOCAL) deploy endpoints/fill-mask && \
	$(LOCAL) invoke fill-mask --request-file endpoints/fill-mask/sample-request.json && \
	echo 'The workspace goes down now. To have it back, with all links, and to ask it again:'; \
	echo '  export AZUREML_LOCAL_HOME=$(AZUREML_LOCAL_HOME) && $(LOCAL) up'

test: install
	$(BIN)/python -m pytest --numprocesses auto

# The three notebooks, in a clean kernel against a workspace of their own.
notebooks: install
	RUN_NOTEBOOKS=all KEEP_NOTEBOOKS=build/notebooks $(BIN)/python -m pytest tests/test_notebooks.py
	@echo 'With their outputs they are in build/notebooks.'

# The operations with old versions of the SDK, each in a virtual environment of its own; takes minutes.
test-old-sdks: install
	AZUREML_LOCAL_OLD_SDKS=1 $(BIN)/python -m pytest -rP tests/test_operations.py

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf .venv .azureml-local build src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
