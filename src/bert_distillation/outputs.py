"""Output folders that are whole or absent, and written by one run at a time.

On Azure an output folder is a mount that exists before the step does. So what a step writes goes into a folder inside
it, and is moved into place when all of it is there.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from bert_distillation.errors import NO_SPACE, InputError
from bert_distillation.mlflow_run import is_main_process
from bert_distillation.run_lock import RunLock
from bert_distillation.tracking import MOVED_FILE, PARTIAL, STEP_FILE, files_of_step, step_of, write_json

NO_ROOM = os.strerror(errno.ENOSPC)
# What torch's own format, which the trainer of `finetune` writes, says of a full disk; and those that wrap the system.
WRITTEN_IN_PART = ("inline_container", "PytorchStreamWriter", NO_ROOM)
WAY_OUT = "Make room there, or give another folder, and start again."


@contextmanager
def output_folder(name: str, folder: Path) -> Iterator[Path]:
    """Make and lock the folder of output `name`; gives a folder whose content is moved there if all goes well."""
    if not is_main_process():  # it writes nothing
        yield folder / PARTIAL
        return
    make_folder(name, folder)
    with RunLock(folder), moved_into_place(folder) as partial:
        yield partial


@contextmanager
def moved_into_place(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` whose content is moved up at the end, `step.json` last.

    After an error it is gone, unless some of its files had been moved: then it says that the rest is not there.
    """
    partial, is_half_moved = folder / PARTIAL, False
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with writing(folder):
            yield partial
        before = {*files_of_step(folder), *files_of_step(folder, MOVED_FILE)}
        files = sorted(before | files_of_step(partial).keys())
        with writing(folder):
            write_json(folder / MOVED_FILE, {"step": step_of(partial), "files": dict.fromkeys(files, "")})
        is_half_moved = True
        (folder / STEP_FILE).unlink(missing_ok=True)
        for name in before:
            if not (partial / name).exists():
                (folder / name).unlink(missing_ok=True)
        for path in sorted(partial.iterdir(), key=lambda path: path.name == STEP_FILE):
            place = folder / path.name
            if place.is_dir():
                shutil.rmtree(place)
            path.replace(place)
        (folder / MOVED_FILE).unlink()
        is_half_moved = False
    finally:
        if not is_half_moved:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What the system refuses while an output is written, as one sentence with its folder."""
    try:
        yield
    except InputError:
        raise
    except SafetensorError as error:  # the only one that the library has: also for a full disk
        reason = str(error).removeprefix("Error while serializing: ")
        raise InputError(f"{folder}: its weights could not be written ({reason}). {WAY_OUT}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            if error.filename is None and error.errno in NO_SPACE:
                error.filename = str(folder)
            raise
        told = f"{error} {error.__cause__}"
        if not any(words in told for words in WRITTEN_IN_PART):
            raise
        raise InputError(f"{folder}: not written to the end, most likely: {NO_ROOM}. {WAY_OUT}") from None


def make_folder(name: str, folder: Path) -> None:
    """Make the folder of output `name`, if it is not there, and see that it can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{name}: cannot make the folder {folder}: {error.strerror}; give another one.") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{name}: {folder} cannot be written; give another folder.")
