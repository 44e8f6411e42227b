"""A workspace's disk: what it takes there and how to get it back, whether there is room, and files that are whole."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

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
RESERVE = 4 * 1024 * 1024  # bytes
LOW = 1024 * 1024  # bytes on a disk that counts as full

T = TypeVar("T")


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
    locks = [home.users, home.lock]  # the last: until then nobody starts one here
    for entry in (*(entry for entry in home.entries() if entry not in locks), home.secret, *locks):
        _delete(entry)
    with suppress(OSError):  # there is something else in it, or somebody has just come
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


def is_full(error: BaseException | None) -> bool:
    """Whether there was no room for what was to be written; MLflow and SQLAlchemy wrap what says so."""
    while error is not None:
        if isinstance(error, sqlite3.OperationalError) and "is full" in str(error):
            return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def full(folder: Path) -> str:
    """A sentence if there is no room left on the disk that a folder is on, else an empty text."""
    try:
        left = shutil.disk_usage(folder).free
    except OSError:
        return ""
    return f"the disk of {folder} is full" if left < LOW else ""


class Reserve:
    """Room on the disk that is kept for how jobs have ended: it may be they who have filled the rest."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def fill(self) -> None:
        """Take the room, where it is not taken and there is more than that."""
        try:
            if self._file.is_file() or shutil.disk_usage(self._file.parent).free < 4 * RESERVE:
                return
            self._file.write_bytes(os.urandom(RESERVE))  # zeros take no room on some file systems
        except OSError:
            self.spend()

    def spend(self) -> bool:
        """Give the room back to the disk; tells whether there was any."""
        try:
            self._file.unlink()
        except OSError:
            return False
        return True

    def insist(self, write: Callable[[], T]) -> T:
        """What `write` gives; it is called a second time, with the reserve's room, where the disk was full."""
        try:
            return write()
        except Exception as error:
            if not is_full(error):
                raise
        self.spend()
        return write()


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
