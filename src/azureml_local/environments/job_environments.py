"""What a job runs in: the interpreter that runs the workspace, or a virtual environment made from what it asks for."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from azureml_local.environments.build import Build, BuildKey, JobEnvironmentError, WaitCancelledError
from azureml_local.environments.cache import CachedEnvironment, EnvironmentCache
from azureml_local.environments.pythons import OWN, find_python
from azureml_local.environments.readiness import readiness, requirements_of, title
from azureml_local.environments.requirements import shown
from azureml_local.processes import Groups
from azureml_local.spec import Environment

__all__ = ["Interpreter", "JobEnvironmentError", "JobEnvironments", "WaitCancelledError"]

REMEMBERED = 1_000  # environments whose files are not read again
WITHOUT_BUILDING = "start the workspace without --build-environments to run the job in the workspace's interpreter"


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """What the processes of a job find as `python`."""

    python: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    is_built: bool = False  # from what the job asks for; otherwise the workspace's packages are there
    below: Path | None = None  # the folder of the scripts of the interpreter that this one is a layer over
    warning: str = ""  # one sentence on what the job asked for and will not find; empty where nothing is known to lack

    @property
    def folder(self) -> Path:
        """The folder of its scripts, the first on PATH."""
        return self.python.parent

    def applied_to(self, variables: Mapping[str, str]) -> dict[str, str]:
        """A job's environment variables with this interpreter in place of the workspace's own."""
        folders = [str(folder) for folder in (self.folder, self.below) if folder]
        others = variables.get("PATH", os.defpath).split(os.pathsep)
        path = [*folders, *(folder for folder in others if folder not in {*folders, str(OWN.executable.parent)})]
        # A module path that was set for the workspace's Python has nothing to say to another one.
        dropped = ("PYTHONPATH", "PYTHONHOME") if self.is_built else ()
        kept = {name: value for name, value in variables.items() if name not in dropped}
        return kept | {"PATH": os.pathsep.join(path)} | dict(self.variables)


class JobEnvironments:
    """Gives each job its interpreter. Safe to use from several threads."""

    def __init__(self, folder: Path, groups: Groups, build: bool) -> None:
        """Keep what is built under `folder`; without `build`, every job runs in the workspace's interpreter."""
        self._groups = groups
        self._build = build
        self._cache = EnvironmentCache(folder.resolve())
        self._lock = threading.Lock()
        self._builds: dict[str, Build] = {}  # those that a job waits for
        self._started: list[Build] = []
        self._is_closed = False
        self._readiness = lru_cache(maxsize=REMEMBERED)(readiness)
        self._requirements = lru_cache(maxsize=REMEMBERED)(requirements_of)

    def prepare(self, environment: Environment, log: Path, cancelled: threading.Event) -> Interpreter:
        """The interpreter for a job; what was done, and what the job will not find, is appended to `log`.

        Jobs whose environments are equal wait for one build. Raises JobEnvironmentError when environments are built
        and this one cannot be had, and WaitCancelledError as soon as `cancelled` is set while it waits.
        """
        if not self.builds(environment):
            return self._own(environment, log)
        _write(log, [f"environment:  {title(environment)}"])
        try:
            return self._built(environment, log, cancelled)
        except JobEnvironmentError as error:
            _write(log, [f"failed:       {error}"])
            raise

    def builds(self, environment: Environment) -> bool:
        """Whether a job that asks for this environment gets one that is made from it, or the workspace's own."""
        return self._build and environment != Environment()

    def close(self) -> None:
        """End all builds; jobs that wait for them are told so."""
        with self._lock:
            self._is_closed = True
            started = list(self._started)
        for build in started:
            build.end()

    def _own(self, environment: Environment, log: Path) -> Interpreter:
        ready = self._readiness(environment)
        lines = [
            f"environment:  {title(environment)}",
            f"interpreter:  {sys.executable} ({OWN.version}), the workspace's",
        ]
        lines += [f"not met:      {sentence}" for sentence in ready.unmet]
        _write(log, [*lines, *(f"note:         {note}" for note in ready.notes)])
        return Interpreter(python=OWN.executable, warning=ready.warning)

    def _built(self, environment: Environment, log: Path, cancelled: threading.Event) -> Interpreter:
        wanted = self._requirements(environment)
        refusals = wanted.refusals or ([wanted.unknown] if wanted.unknown and not environment.image else [])
        if refusals:
            reasons = "; ".join(refusals[:3])
            raise JobEnvironmentError(
                f'environment "{title(environment)}" cannot be built on this machine: {reasons}; change that, or '
                f"{WITHOUT_BUILDING}"
            )
        if wanted.unknown:
            return self._unknown(environment, wanted.unknown, log)
        python = find_python(wanted.python)
        if python is None:
            raise JobEnvironmentError(
                f'environment "{title(environment)}" needs python{wanted.python}, and this machine has {OWN.version}: '
                f"install that Python so that its name, as in python3.8, is on PATH, or {WITHOUT_BUILDING}"
            )
        key = BuildKey(title(environment), python, wanted.file())
        _write(log, [f"note:         {note}" for note in wanted.notes])
        cached = self._cached_or_built(key, log, cancelled)
        _write(log, [f"interpreter:  {cached.bin / 'python'} ({cached.python}), {cached.size / 1e6:.0f} MB"])
        variables = wanted.variables | {"VIRTUAL_ENV": str(cached.folder)}
        return Interpreter(python=cached.bin / "python", variables=variables, is_built=True)

    def _unknown(self, environment: Environment, reason: str, log: Path) -> Interpreter:
        """An image without a list of its packages: the workspace's interpreter has more of them than an empty one."""
        warning = (
            f'environment "{title(environment)}": {reason}, and the job runs in the workspace\'s interpreter; give '
            "it a conda file to have one built"
        )
        _write(log, [f"note:         {warning}", f"interpreter:  {sys.executable} ({OWN.version}), the workspace's"])
        return Interpreter(python=OWN.executable, warning=warning)

    def _cached_or_built(self, key: BuildKey, log: Path, cancelled: threading.Event) -> CachedEnvironment:
        with self._lock:
            if cached := self._cache.find(key.digest):
                return cached
            build = self._join(key)
        try:
            _write(log, [f"building:     python {key.python.version} with", *map(shown, key.file.splitlines())])
            return build.wait(cancelled)
        finally:
            self._leave(key, build)
            _write(log, build.log.splitlines())

    def _join(self, key: BuildKey) -> Build:
        if self._is_closed:
            raise WaitCancelledError("the workspace is being stopped")
        self._started = [build for build in self._started if build.is_running]
        build = self._builds.get(key.digest)
        if not build or not build.is_running:
            build = self._builds[key.digest] = Build(key, self._cache, self._groups)
            self._started.append(build)
        build.waiting += 1
        return build

    def _leave(self, key: BuildKey, build: Build) -> None:
        """End a build that nobody waits for any more: a cancelled job takes no cores. What pip has loaded, it keeps."""
        with self._lock:
            build.waiting -= 1
            if build.waiting:
                return
            if self._builds.get(key.digest) is build:
                del self._builds[key.digest]
        threading.Thread(target=build.end, daemon=True).start()


def _write(log: Path, lines: Iterable[str]) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as stream:
        stream.writelines(f"{line}\n" for line in lines)
