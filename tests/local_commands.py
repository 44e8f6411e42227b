"""The command line of the local workspace in processes of its own."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from azureml_local.connection import CLIENT_VARIABLES


def azureml_local(*arguments: object, home: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in an environment that points nowhere."""
    variables = {name: value for name, value in os.environ.items() if name not in CLIENT_VARIABLES}
    return subprocess.run(
        command_line(*arguments, home=home), env=variables, capture_output=True, text=True, timeout=120
    )


def job_of(run: subprocess.CompletedProcess[str]) -> str:
    """The job that a `run` has submitted."""
    assert run.returncode == 0, run.stderr
    (name,) = re.findall(r"^Submitted \S+ as (\S+);", run.stdout, re.MULTILINE)
    return str(name)


def command_line(*arguments: object, home: Path) -> list[str]:
    return [sys.executable, "-m", "azureml_local.cli", *map(str, arguments), "--home", str(home)]


def on_a_terminal(*arguments: object, home: Path) -> str:
    """What the command shows to a person."""
    ours, theirs = pty.openpty()
    variables = {**os.environ, "TERM": "dumb", "COLUMNS": "100"}
    process = subprocess.Popen(command_line(*arguments, home=home), stdout=theirs, env=variables)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how Linux says that nobody writes any more
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return shown.decode()
