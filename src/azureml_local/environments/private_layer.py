"""An interpreter of a job's own: what it installs with pip is there for it alone, as in a container.

Jobs of other repositories run `pip install` in their commands. Without this, that would change the packages of the
workspace itself, or of an environment that other jobs use.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

from azureml_local.environments.build import JobEnvironmentError
from azureml_local.environments.job_environments import Interpreter

MAKE_SECONDS = 60.0
_INSTALLS = re.compile(r"\b(pip|pip3|easy_install|conda|uv|poetry)\b")
# Paths are written into scripts, so that a virtual environment's own pip would be another's.
_PIP = '#!/bin/sh\nexec "{python}" -m pip "$@"\n'
_BELOW = "import site; site.addsitedir({packages!r})\n"


def may_install(command: str) -> bool:
    """Whether a job's command mentions a program that installs packages."""
    return bool(_INSTALLS.search(command))


def private_layer(below: Interpreter, folder: Path) -> Interpreter:
    """A virtual environment in `folder` that has all the packages of an interpreter, and takes new ones itself.

    Raises JobEnvironmentError when it cannot be made.
    """
    command = [str(below.python), "-I", "-m", "venv", "--without-pip", str(folder)]
    if not below.is_built and sys.prefix == sys.base_prefix:
        command.append("--system-site-packages")
    try:
        made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=MAKE_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise JobEnvironmentError(f"the job's own layer of packages cannot be made: {error}") from error
    if made.returncode != 0:
        raise JobEnvironmentError(f"the job's own layer of packages cannot be made:\n{made.stdout}{made.stderr}")
    _packages(folder).joinpath("below.pth").write_text(_BELOW.format(packages=str(_packages_below(below))))
    for name in ("pip", "pip3"):
        script = folder / "bin" / name
        script.write_text(_PIP.format(python=folder / "bin" / "python"))
        script.chmod(0o755)
    variables = {**below.variables, "VIRTUAL_ENV": str(folder)}
    return replace(below, python=folder / "bin" / "python", variables=variables, below=below.folder)


def _packages_below(below: Interpreter) -> Path:
    return _packages(below.folder.parent) if below.is_built else Path(sysconfig.get_path("purelib"))


def _packages(folder: Path) -> Path:
    return next(folder.glob("lib/python3*/site-packages"))
