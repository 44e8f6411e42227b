"""The result files that `finetune`, `evaluate` and the training steps write and `report` reads.

Each reader takes the name of the input, for errors, and returns only what has the shape that the report relies on.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bert_distillation.errors import InputError
from bert_distillation.glue import Task
from bert_distillation.options import existing_folder
from bert_distillation.summary import Probes
from bert_distillation.tracking import LOG_FILE, STEP_FILE

EVALUATION_METRICS = Path("evaluationResult") / "metrics.json"  # where Azure's evaluation component puts them
ABSENT = Path("evaluationResult") / "absent.json"  # metrics that were asked for and not measured, with the reason
PREDICTIONS = "predictions.jsonl"
MASK_POSITIONS = "mask_positions.json"
PROBE_METRICS, PROBES, PAIRS = "metrics.json", "probes.json", "pairs.jsonl"
GLUE_METRICS = "metrics.json"
LARGEST = 1e100  # a number beyond it is none that a step measured, and no axis could hold it
REPORT_METRICS = "metrics.json"


def read_evaluation(name: str, folder: Path) -> dict[str, float]:
    """The metrics of `evaluate`: finite numbers, the number of parameters among them."""
    existing_folder(name, folder, "the evaluation_result of `evaluate`")
    file = folder / EVALUATION_METRICS
    metrics = read_json(name, file, "`evaluate`")
    for metric in dict.fromkeys(("num_parameters", *metrics)):
        require_number(metrics, metric, f"{name}: {file}", "`evaluate`")
    return metrics


def read_predictions(name: str, folder: Path) -> list[dict[str, Any]]:
    """The rows that `evaluate` predicted; none where it had no test data."""
    return read_rows(name, folder / PREDICTIONS, "`evaluate`", is_prediction)


def read_positions(name: str, folder: Path) -> tuple[dict[str, float], ...]:
    """What `evaluate` found by the position of the mask; nothing where it had no held-out text."""
    file = folder / MASK_POSITIONS
    if not file.is_file():
        return ()
    rows = read_json(name, file, "`evaluate`", list)
    keys = ("first", "last", "masked_tokens", "mlm_loss", "mlm_accuracy")
    if not all(isinstance(row, dict) and all(is_number(row.get(key)) for key in keys) for row in rows):
        raise InputError(f"{name}: {file} holds no list of {', '.join(keys)}; run `evaluate` again.")
    return tuple(rows)


def read_probes(name: str, folder: Path) -> Probes:
    """metrics.json and probes.json of `probe`."""
    existing_folder(name, folder, "the probe_result of `probe`")
    metrics, found = (read_json(name, folder / file, "`probe`") for file in (PROBE_METRICS, PROBES))
    for metric in metrics:
        require_number(metrics, metric, f"{name}: {folder / PROBE_METRICS}", "`probe`")
    if not are_findings(found):
        raise InputError(f"{name}: {folder / PROBES} is not what `probe` writes; run `probe` again.")
    return Probes(
        metrics=metrics,
        occupations={row["occupation"]: row["log_odds"] for row in found["occupations"]},
        people={row["person"]: tuple(word["token"] for word in row["words"]) for row in found["people"]},
    )


def read_glue(name: str, folder: Path, task: Task) -> dict[str, Any]:
    """metrics.json of `finetune`, checked to be of the task and to have its headline."""
    step = f"`finetune --task {task.name}`"
    existing_folder(name, folder, f"the metrics of {step}")
    file = folder / GLUE_METRICS
    record = read_json(name, file, step)
    if record.get("task") != task.name:
        raise InputError(f"{name}: {folder} holds metrics of {record.get('task')}; give those of {task.name}.")
    if not isinstance(record.get("seeds", []), list):
        raise InputError(f"{name}: {file}: seeds is {shown(record['seeds'])} instead of a list; run {step} again.")
    for column in ("metrics", *(key for key in ("deviations",) if key in record)):
        require_number(require_object(record, column, f"{name}: {file}", step), task.headline, f"{name}: {file}", step)
    return record


def read_training(student: Path) -> dict[str, Any]:
    """step.json of the student's training."""
    existing_folder("student", student, "the model and log written by `distill`")
    record = read_json("student", student / STEP_FILE, "`distill`")
    for key in ("configuration", "versions", *(key for key in ("inputs",) if key in record)):
        require_object(record, key, f"student: {student / STEP_FILE}", "`distill`")
    return record


def read_training_log(student: Path) -> tuple[dict[str, float], ...]:
    """The rows of the training log in the student's folder, oldest first; none where it has no log.

    Every row has the step, the loss and the parts of the loss that the first row has.
    """
    rows = read_rows("student", student / LOG_FILE, "`distill`", is_log_row)
    drawn = ("learning_rate", "tokens_per_second")
    parts = [name for name in rows[0] if name.startswith("loss_") or name in drawn] if rows else []
    for row in rows:
        for part in parts:
            require_number(row, part, f"student: {student / LOG_FILE}, step {row['step']:g}", "`distill`")
    return tuple(rows)


def read_json(name: str, file: Path, step: str, kind: type = dict) -> Any:
    """A JSON object, or a list, that a step wrote."""
    if not file.is_file():
        raise InputError(f"{name}: there is no {file}; give a folder that {step} wrote.")
    return parse_object(file.read_bytes(), f"{name}: {file}", step, kind)


def read_rows(name: str, file: Path, step: str, is_row: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """The JSON objects that a step wrote, one a line; none where there is no file."""
    rows = []
    for number, line in enumerate(file.read_bytes().splitlines() if file.is_file() else (), start=1):
        row = parse_object(line, f"{name}: {file}:{number}", step)
        if not is_row(row):
            raise InputError(f"{name}: {file}:{number} is not a row that {step} writes; run {step} again.")
        rows.append(row)
    return rows


def parse_object(text: bytes, place: str, step: str, kind: type = dict) -> Any:
    """A JSON object, or a list; an error names its place."""
    try:
        content = json.loads(text)
        json.dumps(content, ensure_ascii=False).encode()  # JSON can spell half a character, which no page can hold
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place} is not JSON ({error}); run {step} again.") from None
    if not isinstance(content, kind):
        raise InputError(f"{place} holds no JSON {'object' if kind is dict else 'list'}; run {step} again.")
    return content


def require_number(record: dict[str, Any], key: str, place: str, step: str) -> None:
    """Refuse a record whose value is missing or not a finite number."""
    if key not in record:
        raise InputError(f"{place} has no {key}; run {step} again.")
    if not is_number(record[key]):
        raise InputError(f"{place}: {key} is {shown(record[key])} instead of a finite number; run {step} again.")


def require_object(record: dict[str, Any], key: str, place: str, step: str) -> dict[str, Any]:
    """The object under a key of the record."""
    if not isinstance(record.get(key), dict):
        raise InputError(f"{place}: {key} is {shown(record.get(key))} instead of an object; run {step} again.")
    return record[key]


def shown(value: Any) -> str:
    """The beginning of a value, as JSON."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def is_number(value: Any) -> bool:
    """Whether the value is a number that the report can write."""
    return type(value) in (int, float) and abs(value) <= LARGEST


def are_findings(found: dict[str, Any]) -> bool:
    """Whether probes.json has what the report shows of it."""
    occupations, people = (found.get(key) for key in ("occupations", "people"))
    if not isinstance(occupations, list) or not isinstance(people, list):
        return False
    if not all(isinstance(row, dict) for row in (*occupations, *people)):
        return False
    if not all(isinstance(row.get("person"), str) and isinstance(row.get("words"), list) for row in people):
        return False
    words = [word for row in people for word in row["words"]]
    named = all(isinstance(word, dict) and isinstance(word.get("token"), str) for word in words)
    return named and all(
        isinstance(row.get("occupation"), str) and is_number(row.get("log_odds")) for row in occupations
    )


def is_log_row(row: dict[str, Any]) -> bool:
    """Whether a row of the training log can be drawn."""
    return is_number(row.get("step")) and is_number(row.get("loss"))


def is_prediction(row: dict[str, Any]) -> bool:
    """Whether a row of the predictions has its texts and the candidates with their scores."""
    candidates = row.get("candidates")
    return (
        all(isinstance(row.get(key), str) for key in ("input_string", "title", "prediction"))
        and isinstance(candidates, list)
        and all(isinstance(word, dict) for word in candidates)
        and all(isinstance(word.get("token"), str) and is_number(word.get("score")) for word in candidates)
    )
