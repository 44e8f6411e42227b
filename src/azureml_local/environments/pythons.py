"""The Pythons of this machine: the workspace's own, and those on PATH by the names python3.6, python3.7, ..."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from packaging.specifiers import SpecifierSet

MINORS = range(20, 5, -1)  # the newest first; 3.6 is the oldest that has had anything to do with Azure ML
PROBE_SECONDS = 20.0
_PROBE = "import platform; print(platform.python_version(), platform.python_implementation())"


@dataclass(frozen=True)
class Python:
    """An interpreter that virtual environments can be made from."""

    executable: Path
    version: str  # 3.11.7
    implementation: str  # CPython


OWN = Python(Path(sys.executable), platform.python_version(), platform.python_implementation())


def find_python(specifier: str) -> Python | None:
    """The workspace's own Python where its version fits the specifier, else the newest on PATH that does, or None."""
    wanted = SpecifierSet(specifier)
    if wanted.contains(OWN.version, prereleases=True):
        return OWN
    fitting = (python for python in _on_path(wanted) if wanted.contains(python.version, prereleases=True))
    return next(fitting, None)


def _on_path(wanted: SpecifierSet) -> Iterator[Python]:
    """Working interpreters whose name does not speak against them; a shim of a version manager may be there in vain."""
    for minor in MINORS:
        if any(wanted.contains(f"3.{minor}.{patch}") for patch in range(40)):
            for folder in os.get_exec_path():
                executable = Path(folder, f"python3.{minor}")
                if os.access(executable, os.X_OK) and (python := _probe(executable)):
                    yield python


def _probe(executable: Path) -> Python | None:
    try:
        return _asked(executable)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


@lru_cache
def _asked(executable: Path) -> Python:
    """What the interpreter says of itself. Raises OSError, ValueError or SubprocessError when it does not answer."""
    result = subprocess.run(
        [executable, "-I", "-c", _PROBE],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PROBE_SECONDS,
    )
    version, implementation = result.stdout.split()
    return Python(executable, version, implementation)
