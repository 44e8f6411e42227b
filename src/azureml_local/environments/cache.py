"""The virtual environments that were built, one folder each; they survive the workspace.

What `<digest>.json` names is complete: that file is written last. A folder that no such file names was left by a
build that did not end, and is removed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

_BUILD = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}")  # what the folder of a build is called


@dataclass(frozen=True)
class CachedEnvironment:
    """A complete virtual environment."""

    digest: str
    folder: Path
    title: str  # of the environment that it was built for
    python: str  # version
    size: int  # bytes
    last_used: datetime

    @property
    def bin(self) -> Path:
        """The folder of its interpreter and its scripts."""
        return self.folder / "bin"

    def remove(self) -> None:
        """Delete it; to be called while no workspace runs."""
        self.folder.with_name(f"{self.digest}.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class EnvironmentCache:
    """Finds what was built, and makes room for what will be. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._is_swept = False

    def find(self, digest: str) -> CachedEnvironment | None:
        """A complete environment whose Python still works, or None; it counts as used now."""
        marker = self._marker(digest)
        found = _read(marker)
        if not found or not os.access(found.bin / "python", os.X_OK):
            return None
        marker.touch()
        return found

    def new_folder(self, digest: str) -> Path:
        """An empty folder for a build. Paths are written into an environment's scripts, so it stays where it is."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock:
            if not self._is_swept:
                self._sweep()
            self._is_swept = True
            folder = self._folder / f"{digest[:16]}-{uuid4().hex[:8]}"
            folder.mkdir()
        return folder

    def keep(self, digest: str, folder: Path, title: str, python: str) -> CachedEnvironment:
        """Declare a build complete."""
        entry = {"folder": folder.name, "title": title, "python": python, "size": _size(folder)}
        draft = folder / "complete.json"
        draft.write_text(json.dumps(entry))
        draft.replace(self._marker(digest))
        kept = _read(self._marker(digest))
        assert kept
        return kept

    def _marker(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"

    def _sweep(self) -> None:
        kept = {cached.folder for cached in cached_environments(self._folder)}
        for folder in self._folder.iterdir():
            if folder.is_dir() and _BUILD.fullmatch(folder.name) and folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)


def cached_environments(folder: Path) -> list[CachedEnvironment]:
    """What was built under `folder`, the longest unused first."""
    found = filter(None, map(_read, folder.glob("*.json")))
    return sorted(found, key=lambda cached: cached.last_used)


def _read(marker: Path) -> CachedEnvironment | None:
    try:
        entry = json.loads(marker.read_text())
        used = datetime.fromtimestamp(marker.stat().st_mtime, UTC)
    except (OSError, ValueError):
        return None
    folder = marker.parent / entry["folder"]
    return CachedEnvironment(marker.stem, folder, entry["title"], entry["python"], entry["size"], used)


def _size(folder: Path) -> int:
    """Bytes of all files; a file with two names counts twice."""
    return sum(file.lstat().st_size for file in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)
