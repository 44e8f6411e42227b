"""One virtual environment in the making: built in the background, for all jobs that wait for it."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import sys
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from azureml_local.environments.cache import CachedEnvironment, EnvironmentCache
from azureml_local.environments.pythons import Python
from azureml_local.processes import Groups, ProcessGroup, end, inherited_variables, last_lines

LOG = "build.log"  # in the environment's folder
LOG_LINES = 1_000  # that a job's log gets of it
MESSAGE_LINES = 20  # that the error gets
WAIT_SECONDS = 0.05  # between two looks at whether a job that waits was cancelled

_TOOL = re.compile(r"(pip|setuptools|wheel)(?=[<>=!~])")
# What would have modules found elsewhere, or packages put there.
_NOT_FOR_PIP = frozenset(
    {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER"}
)


class JobEnvironmentError(RuntimeError):
    """An environment that cannot be had on this machine: one sentence, and the end of the build's log if it has one."""


class WaitCancelledError(JobEnvironmentError):
    """The job that waited for its environment was cancelled."""


@dataclass(frozen=True)
class BuildKey:
    """What makes an environment the one that it is; the title only tells a person whom it was built for."""

    title: str
    python: Python
    file: str  # the requirements file for pip

    @cached_property
    def digest(self) -> str:
        """Its name in the cache."""
        python = [self.python.implementation, self.python.version, sys.platform, platform.machine()]
        return hashlib.sha256(json.dumps([*python, self.file]).encode()).hexdigest()

    @property
    def tools(self) -> str:
        """The part of the file that is installed first: the pip that is asked for installs the rest."""
        lines = self.file.splitlines()
        tools = [line for line in lines if _TOOL.match(line)]
        return "".join(f"{line}\n" for line in lines if line in tools or line.startswith("-")) if tools else ""


class Build:
    """Makes one environment; starts at once, in a thread of its own."""

    def __init__(self, key: BuildKey, cache: EnvironmentCache, groups: Groups) -> None:
        self.waiting = 0  # jobs; kept by who starts the builds
        self.log = ""  # what pip has written, once it has ended
        self._key = key
        self._cache = cache
        self._groups = groups
        self._lock = threading.Lock()
        self._is_ended = False
        self._process: ProcessGroup | None = None
        self._outcome: CachedEnvironment | Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"build {key.title}", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    def wait(self, cancelled: threading.Event) -> CachedEnvironment:
        """The environment, once it is complete.

        Raises JobEnvironmentError when it cannot be built, and WaitCancelledError as soon as `cancelled` is set.
        """
        while self._thread.is_alive():
            if cancelled.is_set():
                raise WaitCancelledError(f'the job was cancelled while its environment "{self._key.title}" was built')
            self._thread.join(WAIT_SECONDS)
        if isinstance(self._outcome, CachedEnvironment):
            return self._outcome
        raise JobEnvironmentError(str(self._outcome)) from self._outcome

    def end(self) -> None:
        """End it; returns when nothing of it runs."""
        with self._lock:
            self._is_ended = True
            process = self._process
        if process and self.is_running:
            end([process])
        self._thread.join()

    def _run(self) -> None:
        try:
            folder = self._cache.new_folder(self._key.digest)
            try:
                self._make(folder)
                self._outcome = self._cache.keep(self._key.digest, folder, self._key.title, self._key.python.version)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        except Exception as error:  # those who wait hear of it
            self._outcome = error

    def _make(self, folder: Path) -> None:
        """No shell, and nothing of a job's text among the arguments: it reaches pip in a file."""
        file = folder / "requirements.txt"
        file.write_text(self._key.file)
        try:
            self._do([str(self._key.python.executable), "-I", "-m", "venv", str(folder)], "venv", folder)
            if tools := self._key.tools:
                (folder / "tools.txt").write_text(tools)
                self._install(folder / "tools.txt", folder)
            if self._key.file:
                self._install(file, folder)
        finally:
            self.log = "\n".join(self._lines(folder))

    def _install(self, file: Path, folder: Path) -> None:
        options = ["--quiet", "--disable-pip-version-check", "--no-input", "--requirement", str(file)]
        self._do([str(folder / "bin" / "python"), "-I", "-m", "pip", "install", *options], "pip", folder)

    def _lines(self, folder: Path) -> list[str]:
        return last_lines(folder / LOG, LOG_LINES).splitlines()

    def _do(self, command: list[str], what: str, folder: Path) -> None:
        variables = inherited_variables(folder.parent.parent)
        with self._lock:
            if self._is_ended:
                raise JobEnvironmentError(self._ended())
            self._process = ProcessGroup(
                command,
                groups=self._groups,
                folder=folder,
                variables={name: value for name, value in variables.items() if name not in _NOT_FOR_PIP},
                log=folder / LOG,
            )
        status = self._process.wait()
        end([self._process])
        if self._is_ended:
            raise JobEnvironmentError(self._ended())
        if status != 0:
            how = f"{what} was ended by signal {-status}" if status < 0 else f"{what} ended with status {status}"
            # An index that lacks a package, or a newer pip, is mentioned again and again, and is not what went wrong.
            told = [line for line in self._lines(folder) if not line.startswith(("WARNING:", "[notice]"))]
            lines = "\n".join(told[-MESSAGE_LINES:])
            raise JobEnvironmentError(
                f'environment "{self._key.title}" cannot be built: {how}; its log ends with:\n{lines}'
            )

    def _ended(self) -> str:
        return f'the build of environment "{self._key.title}" was ended'
