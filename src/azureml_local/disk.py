"""A workspace's disk: what it takes there and how to get it back, whether there is room, and files that are whole."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from azureml_local.errors import InputError
from azureml_local.home import Home

PARTS = {
    "jobs": ("jobs",),
    "uploads": ("blobs",),
    "environments": ("environments",),
    "deployments": ("deployments",),
    "reuse": ("reuse",),
    "MLflow": ("mlflow.db", "mlflow.db-wal", "mlflow.db-shm", "artifacts"),
}
REMOVABLE = ("environments", "reuse")  # what the workspace makes again when it needs it


def usage(home: Home) -> dict[str, int]:
    """Bytes by part; a file with several names counts once."""
    seen: set[tuple[int, int]] = set()
    return {part: sum(_bytes(home.path / name, seen) for name in names) for part, names in PARTS.items()}


def remove(home: Home, part: str | None = None) -> None:
    """Delete a part of the workspace, or all of it.

    Raises InputError for a folder that is no workspace's, and for what cannot be deleted.
    """
    if part:
        for name in PARTS[part]:
            _delete(home.path / name)
        return
    if not home.secret.is_file():
        raise InputError(f"{home.path} is not a workspace's folder: it has no file `{home.secret.name}`.")
    for entry in home.entries():
        _delete(entry)
    _delete(home.secret)
    if not any(home.path.iterdir()):
        home.path.resolve().rmdir()
        home.path.unlink(missing_ok=True)  # where it was a link


def _delete(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:  # a job may have closed a folder of its output
        raise InputError(
            f'Not all of {path} could be deleted: {error.strerror}, "{error.filename}"; make it writable, as '
            f"`chmod -R u+w {path}` does, and try again."
        ) from error


def write_whole(file: Path, content: bytes) -> None:
    """Write a file of the user's alone: whole, or not at all, whenever this process is stopped."""
    written = file.with_suffix(".new")
    written.unlink(missing_ok=True)
    written.touch(mode=0o600)
    written.write_bytes(content)
    written.replace(file)


def is_full(error: Exception) -> bool:
    """Whether there was no room for what was to be written."""
    if isinstance(error, sqlite3.OperationalError):
        return "is full" in str(error)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def size(count: int) -> str:
    """Bytes as a person says them."""
    amount, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "bytes" else f"{amount:.1f} {units[0]}"


def _bytes(path: Path, seen: set[tuple[int, int]]) -> int:
    total = 0
    for file in _files(path):
        try:
            status = file.lstat()
        except OSError:  # it went away meanwhile
            continue
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            total += status.st_blocks * 512
    return total


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names)
