"""A workspace in a process of its own, and the environment of a user who points a client at it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLEAN = ("AZURE", "ARM_", "IDENTITY_", "MSI_", "MLFLOW_", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment of the tests without what points anybody at a workspace, and with `variables`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(CLEAN)} | variables


@contextmanager
def running_workspace(home: Path) -> Iterator[str]:
    """The lines for a shell that `azureml-local env` prints, as long as the workspace in the folder `home` runs."""

    def azureml_local(command: str) -> str:
        arguments = [sys.executable, "-m", "azureml_local.cli", command, "--home", str(home)]
        return subprocess.run(arguments, env=clean_environment(), check=True, capture_output=True, text=True).stdout

    azureml_local("up")
    try:
        yield azureml_local("env")
    finally:
        azureml_local("down")


def run_in(exports: str, command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell that has read the lines of `azureml-local env`; its home folder is `folder`."""
    return subprocess.run(
        ["/bin/bash", "-c", 'eval "$0"; exec "$@"', exports, *command],
        cwd=folder,
        env=clean_environment(HOME=str(folder), **variables),
        capture_output=True,
        text=True,
    )
