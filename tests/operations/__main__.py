"""Run every operation, print the table, and end with the number of the failed ones as status."""

import importlib
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path

from operations.table import Session, outcome_lines, run_all

PARTS = (
    "workspace",
    "environments",
    "data",
    "components",
    "jobs",
    "outputs",
    "sweeps",
    "pipelines",
    "reuse",
    "models",
    "endpoints",
    "elsewhere",
)


def main() -> int:
    """The number of operations that failed."""
    warnings.simplefilter("ignore")
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    from azure.ai.ml import MLClient, __version__
    from azure.identity import DefaultAzureCredential

    for part in PARTS:
        importlib.import_module(f"operations.{part}")
    client = MLClient(
        DefaultAzureCredential(),
        os.environ["AZUREML_ARM_SUBSCRIPTION"],
        os.environ["AZUREML_ARM_RESOURCEGROUP"],
        os.environ["AZUREML_ARM_WORKSPACE_NAME"],
        show_progress=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        outcomes = run_all(Session(client, Path(folder).resolve()), __version__)
        os.chdir("/")
    print("\n".join(outcome_lines(outcomes, __version__)))
    return sum(outcome.state == "failed" for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(min(main(), 100))
