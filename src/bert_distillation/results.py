"""The result files that `finetune`, `evaluate` and the training steps write and `report` reads."""

import json
from pathlib import Path
from typing import Any

from bert_distillation.errors import InputError
from bert_distillation.glue import Task
from bert_distillation.options import existing_folder

EVALUATION_METRICS = Path("evaluationResult") / "metrics.json"  # where Azure's evaluation component puts them
PREDICTIONS = "predictions.jsonl"
GLUE_METRICS = "metrics.json"


def read_evaluation(name: str, folder: Path) -> dict[str, float]:
    """The metrics of `evaluate`; `name` is the input, for errors."""
    existing_folder(name, folder, "the evaluation_result of `evaluate`")
    return read_json(name, folder / EVALUATION_METRICS, "`evaluate`")


def read_predictions(folder: Path) -> list[dict[str, Any]]:
    """The rows that `evaluate` predicted; none where it had no test data."""
    file = folder / PREDICTIONS
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.is_file() else []


def read_glue(name: str, folder: Path, task: Task) -> dict[str, Any]:
    """metrics.json of `finetune`, checked to be of the task."""
    existing_folder(name, folder, f"the metrics of `finetune --task {task.name}`")
    record = read_json(name, folder / GLUE_METRICS, f"`finetune --task {task.name}`")
    if record.get("task") != task.name:
        raise InputError(f"{name}: {folder} holds metrics of {record.get('task')}; give those of {task.name}.")
    return record


def read_json(name: str, file: Path, step: str) -> dict[str, Any]:
    """A JSON object that a step wrote."""
    if not file.is_file():
        raise InputError(f"{name}: there is no {file}; give a folder that {step} wrote.")
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise InputError(f"{name}: {file} is not JSON ({error}); run {step} again.") from None
    if not isinstance(content, dict):
        raise InputError(f"{name}: {file} holds no JSON object; run {step} again.")
    return content
