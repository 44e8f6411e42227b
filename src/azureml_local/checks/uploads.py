"""What a file or folder has in it that cannot be sent: the SDK waits for a pipe and takes a broken link for no path."""

from __future__ import annotations

import os
import stat
from itertools import chain, islice
from pathlib import Path

IGNORES = (".amlignore", ".gitignore")  # what they name is not sent
MOST_FILES = 100_000  # that are looked at: as many take half a second


def not_to_be_sent(path: Path) -> str:
    """The first thing in it that cannot be sent, as a sentence of the rule; "" where there is none."""
    if any((path / name).exists() for name in IGNORES):
        return ""
    below = (
        Path(parent, name) for parent, folders, files in os.walk(path) for name in chain(sorted(folders), sorted(files))
    )
    if path.is_dir() and not any(path.iterdir()):
        return f"{path} is an empty folder, which cannot be sent: put something into it"
    problems = (_problem(one) for one in islice(chain([path], below), MOST_FILES))
    return next(filter(None, problems), "")


def _problem(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_symlink():
            return f"{path} is a link to {path.readlink()}, which is not there: remove it"
        return f"{path} cannot be read: {error.strerror}"
    if stat.S_ISDIR(mode):
        if path.is_symlink() and path.parent.resolve().is_relative_to(path.resolve()):
            return f"{path} is a link to a folder that it is in, which has no end: remove it"
    elif not stat.S_ISREG(mode):
        return f"{path} is no file that can be read, but a pipe, a socket or a device: remove it"
    if not os.access(path, os.R_OK):
        return f"{path} cannot be read: Permission denied"
    return ""
