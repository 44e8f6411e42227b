"""Environments of jobs, and a script that stands for Python: building with it takes no time."""

import json
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from azureml_local.environments import job_environments
from azureml_local.environments.pythons import OWN
from azureml_local.spec import Environment

NEVER = threading.Event()

# Stands for a Python: `-m venv <folder>` makes a folder with this script as its interpreter.
FAKE = """#!/bin/bash
echo "$3" >> {log}
for last; do :; done
case "$3" in
    venv) mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
    pip) echo "pip reads $(cat "$last")"; {pip} ;;
esac
"""


def conda(*dependencies: object, name: str = "mine:1") -> Environment:
    return Environment(name=name, conda=json.dumps({"dependencies": dependencies}))


def wheel(folder: Path, name: str) -> None:
    """A wheel of one module that says `hello`, with a command of the same name."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "def main(): print('hello')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)


def fake_python(folder: Path, monkeypatch: pytest.MonkeyPatch, pip: str = "true") -> Path:
    """Let the script stand for Python, with a command of ours for pip; its calls are in the file that is returned."""
    script, log = folder / "fake-python", folder / "calls"
    script.write_text(FAKE.format(log=log, pip=pip))
    script.chmod(0o755)
    monkeypatch.setattr(job_environments, "find_python", lambda wanted: replace(OWN, executable=script))
    return log
