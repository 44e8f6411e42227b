"""What a step leaves behind about itself: `step.json` in each output folder."""

import dataclasses
import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bert_distillation import __version__
from bert_distillation.errors import InputError
from bert_distillation.mlflow_run import plain

STEP_FILE = "step.json"
MOVED_FILE = "moved.json"  # while files are moved up into an output folder: which these are, and those before
LOG_FILE = "training_log.jsonl"
ABOUT = {STEP_FILE, LOG_FILE}  # what tells how and where a folder was made: equal folders differ in it
PARTIAL = ".partial"  # ends the name of what is not whole yet; in an output folder, the folder in which its step writes
WEIGHTS = {".safetensors", ".onnx"}


def checksum(path: Path) -> str:
    """sha256 over a file, or over the names and contents of a folder's files, in order, without those `ABOUT` it."""
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name not in ABOUT:
            digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0{checksum(file)}\0".encode())
    return digest.hexdigest()


def write_step(
    output: Path, step: str, config: Any, inputs: Mapping[str, Path | str | None], of_files: bool = True
) -> None:
    """Write `step.json` into an output folder: configuration, versions, and checksums of inputs and files.

    inputs: folders and files, or the checksums of some that were read before.
    """
    files = sorted(file for file in output.rglob("*") if file.is_file()) if of_files else []
    record = {
        "step": step,
        "configuration": {key: plain(value) for key, value in dataclasses.asdict(config).items()},
        "versions": {"python": platform.python_version(), "bert_distillation": __version__}
        | {name: version(name) for name in ("torch", "transformers", "datasets")},
        "inputs": {name: checksum(of) if isinstance(of, Path) else of for name, of in inputs.items() if of is not None},
        "files": {file.relative_to(output).as_posix(): checksum(file) for file in files},
    }
    write_json(output / STEP_FILE, record)


def step_of(folder: Path, record: str = STEP_FILE) -> str:
    """The step that wrote a folder; "" where none did. record: the file in it that says so."""
    return str(_record(folder / record).get("step", ""))


def files_of_step(folder: Path, record: str = STEP_FILE) -> dict[str, str]:
    """The files that a step wrote into a folder and their checksums; none where no step did. record: as `step_of`."""
    try:
        files = dict(_record(folder / record).get("files", {}))
    except (ValueError, TypeError):
        return {}
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} if files else set()
    return {name: files[name] for name in files if name in there}  # never one outside the folder


def _record(file: Path) -> dict[str, Any]:
    """What `write_step` has written; empty where it is not there, or somebody else's."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def check_weights(folder: Path, of: str) -> None:
    """Refuse a model folder whose weights are not those that its step wrote; one of another maker says nothing."""
    is_begun = (folder / PARTIAL).is_dir() or (folder / MOVED_FILE).is_file()
    if is_begun and not (folder / STEP_FILE).is_file():
        raise InputError(f"{of}: {folder} is half-written: its step was ended while it wrote. Run that step again.")
    for name, expected in files_of_step(folder).items():
        file = folder / name
        if file.suffix in WEIGHTS and checksum(file) != expected:
            raise InputError(
                f"{of}: {file} is damaged: it is not what its step wrote. Copy it again, or run that step."
            )


def write_json(path: Path, content: Any) -> None:
    """Write JSON beside the file and rename it into place, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON object a line."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
