"""The blob containers of the workspace: plain folders under one root, so that jobs use uploaded files in place."""

from __future__ import annotations

import base64
import filecmp
import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from uuid import uuid4

from azureml_local.store import Store

ARTIFACTS = "azureml"  # the container of the datastore workspaceartifactstore: logs
BLOBSTORE = "azureml-blobstore"  # the container of the datastore workspaceblobstore: data, models, outputs, code
DATASTORES = {"workspaceblobstore": BLOBSTORE, "workspaceartifactstore": ARTIFACTS}
CERTIFICATES = "certificates"  # the folder beside the containers that holds private keys
METADATA = "blob-metadata"  # kind of the documents in the store
LONGEST = 1024  # characters of a blob's name, as on Azure
LONGEST_PART = 255  # bytes between two slashes, as in a file system
MOST_NESTED = 1000  # folders of a listing that are behind more than one link

logger = logging.getLogger(__name__)

Metadata = Mapping[str, str]
NO_METADATA: Metadata = MappingProxyType({})


class BlobPathError(ValueError):
    """A container or blob name that is not a path inside the root."""


class BlobExistsError(Exception):
    """A blob of another content, where a client allows for none."""


class Blobs:
    """Blobs as files: `container/name` is the file of that path under the root. One process at a time has a root."""

    def __init__(self, root: Path, store: Store) -> None:
        self.root = root
        self._store = store
        self._staging = root / ".staging"
        self._lock = threading.RLock()  # of what becomes a blob: large ones take their time, in threads of their own
        self._assembled: dict[str, list[str]] = {}  # blob -> the blocks that it was put together from
        shutil.rmtree(self._staging, ignore_errors=True)  # what uploads have left that never came to their end
        for folder in (*DATASTORES.values(), self._staging.name):
            (root / folder).mkdir(parents=True, exist_ok=True)

    def path(self, container: str, name: str = "") -> Path:
        """The file or folder of a blob name. Raises BlobPathError for a name that leads anywhere else."""
        if container not in DATASTORES.values():
            raise BlobPathError(
                f'There is no blob container "{container}"; there are {", ".join(DATASTORES.values())}.'
            )
        parts = PurePosixPath(name).parts
        if name.startswith("/") or "\\" in name or "\0" in name or ".." in parts:
            raise BlobPathError(f"A blob's name is a path inside its container, not {name!r:.100}.")
        if len(name) > LONGEST or any(len(os.fsencode(part)) > LONGEST_PART for part in parts):
            raise BlobPathError(
                f"A blob's name has at most {LONGEST} characters, and {LONGEST_PART} bytes between two slashes; "
                f"{name!r:.100} has more."
            )
        path = self.root.joinpath(container, *parts)
        if not self._is_open(path):
            raise BlobPathError(f"The blob {name!r} leads out of the workspace's folder.")
        return path

    def _is_open(self, path: Path) -> bool:
        """Whether a path may be followed.

        Outputs of jobs are linked in from other folders of the workspace's. What is outside of it, and the files at its
        top and its certificates, are nobody's blobs.
        """
        home, real = self.root.parent.resolve(), Path(os.path.realpath(path))
        if not real.is_relative_to(home):
            return False
        inside = real.relative_to(home).parts
        return len(inside) > 1 and inside[0] != CERTIFICATES

    def link(self, container: str, name: str, target: Path) -> None:
        """Let the blob or virtual folder `name` be `target`, a path in the workspace's folder."""
        link = self.path(container, name)
        link.parent.mkdir(parents=True, exist_ok=True)
        lies_there = link.parent.resolve() / link.name == target.parent.resolve() / target.name
        if lies_there or (link.exists() and not link.is_symlink()):  # what a job wrote there itself, and never removed
            return
        if link.is_symlink() and link.readlink() == target:
            return
        link.unlink(missing_ok=True)
        link.symlink_to(target)

    def find(self, container: str, prefix: str = "") -> Iterator[tuple[str, Path]]:
        """The blobs whose names start with `prefix`, sorted, with their files."""
        start = prefix if prefix.endswith("/") else str(PurePosixPath(prefix).parent)
        root = self.path(container)
        found = []
        for file in self._files(self.path(container, start.strip("/")), _Walk()):
            name = file.relative_to(root).as_posix()
            if name.startswith(prefix):
                found.append((name, file))
        yield from sorted(found)

    def stage(self, container: str, name: str, block: str, file: Path) -> None:
        """Keep a whole file as an uploaded block, until its blob is put together."""
        file.replace(self._block(container, name, block))

    def _block(self, container: str, name: str, block: str) -> Path:
        return self._staging / hashlib.sha256(f"{container}/{name}/{block}".encode()).hexdigest()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A file of the caller's own, to be staged or adopted when it is whole, and else removed."""
        file = self._staging / uuid4().hex
        try:
            yield file
        finally:
            file.unlink(missing_ok=True)

    def assemble(
        self, container: str, name: str, blocks: list[str], only_new: bool = False, metadata: Metadata = NO_METADATA
    ) -> None:
        """Put a blob together from staged blocks, in this order, as `adopt` does.

        Raises KeyError for a block that was not staged. Clients that upload the same blob at the same time stage the
        same blocks, which the first of their lists uses up: the next one finds its blob there.
        """
        with self._lock:
            self._assemble(container, name, blocks, only_new)
            self._describe(container, name, metadata)

    def _assemble(self, container: str, name: str, blocks: list[str], only_new: bool) -> None:
        staged = {block: self._block(container, name, block) for block in blocks}
        taken = {file: _stamp(file) for file in staged.values()}
        missing = [block for block, file in staged.items() if not file.exists()]
        if not missing:
            with self.scratch() as whole:
                _join([staged[block] for block in blocks], whole)
                self.adopt(container, name, whole, only_new)
            self._assembled[f"{container}/{name}"] = blocks
        elif self._assembled.get(f"{container}/{name}") != blocks:
            if only_new and self.path(container, name).exists():
                raise _exists(name)
            raise KeyError(missing[0])
        for file, stamp in taken.items():
            if _stamp(file) == stamp:  # else another client has sent it again meanwhile
                file.unlink(missing_ok=True)

    def adopt(
        self, container: str, name: str, file: Path, only_new: bool = False, metadata: Metadata = NO_METADATA
    ) -> None:
        """Make a whole file the blob `name` with this metadata, and forget that of what was there before.

        A file of the same content stays, and keeps its time: a job may be reading it. only_new: raise BlobExistsError
        where another one is there.
        """
        with self._lock:
            path = self.path(container, name)
            is_there = path.is_file() and filecmp.cmp(path, file, shallow=False)
            if only_new and path.exists() and not is_there:
                raise _exists(name)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if not is_there:
                    file.replace(path)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise BlobPathError(
                    f"The blob {name!r} cannot be written: a blob and a folder cannot have the same name here."
                ) from error
            self._forget(container, name)
            self._describe(container, name, metadata)

    def delete(self, container: str, name: str) -> None:
        """Remove a blob and its metadata."""
        with self._lock:
            self.path(container, name).unlink()
            self._forget(container, name)

    def _describe(self, container: str, name: str, metadata: Metadata) -> None:
        if metadata:
            self.set_metadata(container, name, metadata)

    def _forget(self, container: str, name: str) -> None:
        """Forget what is known of the blob that was there before."""
        self._assembled.pop(f"{container}/{name}", None)
        self._store.delete(METADATA, f"{container}/{name}")

    def metadata(self, container: str, name: str) -> dict[str, str]:
        """The metadata that was set on a blob, names in lower case."""
        resource = self._store.get(METADATA, f"{container}/{name}")
        return dict(resource.body) if resource else {}

    def set_metadata(self, container: str, name: str, metadata: Metadata) -> None:
        """Replace a blob's metadata."""
        self._store.put(METADATA, f"{container}/{name}", "", dict(metadata))

    def _files(self, folder: Path, walk: _Walk, around: frozenset[str] = frozenset(), links: int = 0) -> Iterator[Path]:
        """Every file below a folder, links followed, but for a link to one of the real folders around it: a circle.

        links: to folders, that were followed on the way.
        """
        real = os.path.realpath(folder)
        if real in around or not folder.is_dir() or not walk.may_enter(links):
            return
        entries: list[os.DirEntry[str]] = []
        with suppress(FileNotFoundError):  # it went away meanwhile
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        for entry in entries:
            if entry.is_symlink() and not self._is_open(Path(entry.path)):
                continue
            if entry.is_dir():
                yield from self._files(Path(entry.path), walk, around | {real}, links + entry.is_symlink())
            elif entry.is_file():
                yield Path(entry.path)


class _Walk:
    """Sees that a listing ends: of folders that all link to each other, the paths are past counting."""

    def __init__(self) -> None:
        self._left = MOST_NESTED

    def may_enter(self, links: int) -> bool:
        """Whether there is room for one more folder that so many links lead to."""
        if links <= 1:
            return True
        self._left -= 1
        if self._left == -1:
            logger.warning("A listing leaves out folders behind several links: more than %d", MOST_NESTED)
        return self._left >= 0


def _exists(name: str) -> BlobExistsError:
    return BlobExistsError(f"The blob {name} is there already.")


def _stamp(file: Path) -> tuple[int, int] | None:
    """What tells a file from another one in its place; None where there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _join(parts: list[Path], whole: Path) -> None:
    with whole.open("wb") as target:
        for file in parts:
            with file.open("rb") as part:
                shutil.copyfileobj(part, target)


def md5(file: Path) -> str:
    """The file's MD5 in base64, as the Content-MD5 header has it."""
    with file.open("rb") as source:
        return base64.b64encode(hashlib.file_digest(source, "md5").digest()).decode()
