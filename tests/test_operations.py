"""All operations of the `operations` folder, with the SDK of the tests and, where one asks for it, with old ones.

AZUREML_LOCAL_OLD_SDKS=1 makes a virtual environment for each old version, which takes minutes and the network.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from running_workspace import run_in, running_workspace

TESTS = Path(__file__).parent
OLD_SDKS = ("1.27.1", "1.16.1")
# What they need beside themselves: 1.16.1 uses parts of marshmallow that 3.24 no longer has, and allows it.
NEEDED = ("azure-identity>=1.25,<2", "marshmallow<3.24", "setuptools<81")

old_sdks = pytest.mark.skipif(not os.environ.get("AZUREML_LOCAL_OLD_SDKS"), reason="set AZUREML_LOCAL_OLD_SDKS=1")


def table(python: str, folder: Path) -> str:
    """What the operations say with this interpreter's SDK, in a workspace of their own."""
    with running_workspace(folder / "home") as exports:
        done = run_in(exports, [python, "-m", "operations"], folder, PYTHONPATH=str(TESTS))
    print(done.stdout.strip().splitlines()[-1])  # what `make test-old-sdks` shows
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=OLD_SDKS)
def old_python(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The interpreter of a new virtual environment with an old SDK."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = ["-m", "pip", "install", "--quiet", f"azure-ai-ml=={request.param}", *NEEDED]
    subprocess.run([python, *install], check=True)
    return python


def test_the_sdk_does_all_that_a_user_does(tmp_path: Path):
    said = table(sys.executable, tmp_path)
    assert " 0 failed" in said
    assert said.count("  ok  ") >= 100


@old_sdks
def test_an_old_sdk_does_all_that_it_can(old_python: str, tmp_path: Path):
    said = table(old_python, tmp_path)
    assert " 0 failed" in said
    assert said.count("  ok  ") >= 100
