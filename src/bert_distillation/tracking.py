"""What a step leaves behind about itself: `step.json` in each output folder, and MLflow metrics where a run is set."""

import dataclasses
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bert_distillation import __version__

STEP_FILE = "step.json"


def checksum(path: Path) -> str:
    """sha256 over a file, or over the names and contents of a folder's files, in order of name."""
    digest = hashlib.sha256()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if file.is_file():
            digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def write_step(output: Path, step: str, config: Any, inputs: dict[str, Path | None]) -> None:
    """Write `step.json` into an output folder: configuration, versions and the checksums of the inputs."""
    record = {
        "step": step,
        "configuration": {key: _plain(value) for key, value in dataclasses.asdict(config).items()},
        "versions": {"python": platform.python_version(), "bert_distillation": __version__}
        | {name: version(name) for name in ("torch", "transformers", "datasets")},
        "inputs": {name: checksum(path) for name, path in inputs.items() if path is not None},
    }
    write_json(output / STEP_FILE, record)


def write_json(path: Path, content: Any) -> None:
    """Write JSON beside the file and rename it into place, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON object a line."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def is_main_process() -> bool:
    """Whether this process is the first of its distribution."""
    return int(os.environ.get("RANK", "0")) == 0


def log_parameters(config: Any) -> None:
    """Log the configuration to the MLflow run, if the environment sets one."""
    if mlflow := _mlflow():
        mlflow.log_params({key: str(_plain(value))[:500] for key, value in dataclasses.asdict(config).items()})


def log_metrics(metrics: dict[str, float], step: int | None = None) -> None:
    """Log metrics to the MLflow run, if the environment sets one."""
    if mlflow := _mlflow():
        mlflow.log_metrics(metrics, step=step)


def _mlflow() -> Any:
    """MLflow in the first process of a job; Azure and the local workspace set the run, a plain shell does not."""
    if not is_main_process():
        return None
    # MLflow takes the variable out of the environment when it resumes the run, which is from then on the active one.
    if "MLFLOW_RUN_ID" not in os.environ and not ("mlflow" in sys.modules and sys.modules["mlflow"].active_run()):
        return None
    import mlflow

    return mlflow


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
