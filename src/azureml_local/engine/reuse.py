"""Finished jobs that stand for equal ones, by Azure's rules.

A node is run again unless it is deterministic, nobody forces a rerun, and a completed job had an equal component (its
code included), environment, settings and inputs. Data are equal when they lie in the same place and nothing there has
another name, size or time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from azureml_local.engine.plan import Task


@dataclass(frozen=True)
class Finished:
    """A job that has completed, and may stand for others."""

    job: str
    root: str  # the pipeline job that it ran in
    outputs: dict[str, str]  # output -> what was written, by real path
    stamp: str  # of the outputs, when it had completed
    logs: str  # where its logs lie


class Reuse:
    """Remembers completed jobs in a folder, one file for each key. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: str) -> Finished | None:
        """The job that stands for tasks of this key; None where there is none, or its outputs have changed since."""
        try:
            finished = Finished(**json.loads((self._folder / key).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        there = all(Path(path).exists() for path in (*finished.outputs.values(), finished.logs))
        return finished if there and finished.stamp == _stamp_all(finished.outputs) else None

    def keep(self, key: str, task: Task, root: str) -> None:
        """Let a task that has completed stand for those of its key."""
        outputs = {name: str(path.resolve()) for name, path in task.outputs.items() if path.exists()}
        finished = Finished(task.job, root, outputs, _stamp_all(outputs), str(task.log_folder.resolve()))
        self._folder.mkdir(parents=True, exist_ok=True)
        written = self._folder / f".{uuid4().hex}"
        written.write_text(json.dumps(asdict(finished)))
        written.replace(self._folder / key)


def reuse_key(task: Task, packages: list[str] | None) -> str | None:
    """What makes two tasks equal, as one digest; None for a task that is never reused.

    packages: what it has of what its environment asks for, where it runs in the workspace's own; None where its
    environment is made from that. To be asked when the task's inputs are there.
    """
    component = task.component
    if not component.is_deterministic or not component.digest:
        return None
    described = {
        "component": component.digest,
        "environment": asdict(component.environment),
        "variables": task.node.environment_variables,
        "distribution": [task.distribution, task.process_count],
        "inputs": {name: _identity(value) for name, value in task.given.items()},
        "places": {name: str(path) for name, path in task.outputs.items() if not path.is_relative_to(task.folder)},
        **({"is_built": [True]} if packages is None else {"packages": packages}),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()


def _identity(value: str | Path) -> list[str]:
    """A literal by its text; data by their real place, which tells the job that wrote them, and their stamp."""
    if isinstance(value, str):
        return [value]
    real = value.resolve()
    return [str(real), stamp(real)]


def _stamp_all(outputs: dict[str, str]) -> str:
    return " ".join(stamp(Path(path)) for _, path in sorted(outputs.items()))


def stamp(path: Path) -> str:
    """A digest of the names, sizes and times of the files at a path, without what Python has compiled."""
    digest = hashlib.sha256()
    for name, status in sorted(_files(path)):
        digest.update(os.fsencode(name) + f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _files(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    if path.is_file():
        yield "", path.stat()
    seen = {os.path.realpath(path)}  # links may go in circles
    for folder, folders, names in os.walk(path, followlinks=True):
        folders[:] = [name for name in sorted(folders) if name != "__pycache__" and _is_new(Path(folder, name), seen)]
        for name in names:
            file = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):  # it went away meanwhile
                yield str(file.relative_to(path)), file.stat() if file.exists() else file.lstat()


def _is_new(folder: Path, seen: set[str]) -> bool:
    """Whether a folder is none that has been seen; links alone can lead to one."""
    real = os.path.realpath(folder)
    is_new = not folder.is_symlink() or real not in seen
    seen.add(real)
    return is_new
