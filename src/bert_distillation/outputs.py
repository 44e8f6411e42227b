"""Output folders that are whole or absent, and written by one run at a time.

On Azure an output folder is a mount that exists before the step does. So what a step writes goes into a folder inside
it, and is moved into place when all of it is there.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bert_distillation.errors import InputError
from bert_distillation.mlflow_run import is_main_process
from bert_distillation.run_lock import RunLock
from bert_distillation.tracking import STEP_FILE, files_of_step

PARTIAL_FOLDER = ".partial"


@contextmanager
def output_folder(name: str, folder: Path) -> Iterator[Path]:
    """Make and lock the folder of output `name`; gives a folder whose content is moved there if all goes well."""
    if not is_main_process():  # it writes nothing
        yield folder / PARTIAL_FOLDER
        return
    make_folder(name, folder)
    with RunLock(folder), moved_into_place(folder) as partial:
        yield partial


@contextmanager
def moved_into_place(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` whose content is moved up at the end, `step.json` last; after an error it is gone."""
    partial = folder / PARTIAL_FOLDER
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        before = files_of_step(folder)
        (folder / STEP_FILE).unlink(missing_ok=True)
        for name in before:
            if not (partial / name).exists():
                (folder / name).unlink(missing_ok=True)
        for path in sorted(partial.iterdir(), key=lambda path: path.name == STEP_FILE):
            place = folder / path.name
            if place.is_dir():
                shutil.rmtree(place)
            path.replace(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def make_folder(name: str, folder: Path) -> None:
    """Make the folder of output `name`, if it is not there, and see that it can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{name}: cannot make the folder {folder}: {error.strerror}; give another one.") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{name}: {folder} cannot be written; give another folder.")
