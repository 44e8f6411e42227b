"""GLUE's examples, from a local folder in GLUE's own TSV layout or from the hub."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bert_distillation.errors import InputError
from bert_distillation.glue import Task
from bert_distillation.hub import split_revision
from bert_distillation.malformed import MalformedRow, MalformedRows
from bert_distillation.options import existing_folder
from bert_distillation.text_lines import read_lines

TRAIN = "train"


@dataclass
class Examples:
    """One split: a text column or two of equal length, and class ids, or scores where the task is a regression."""

    texts: tuple[list[str], ...]
    labels: list[Any] = field(default_factory=list)
    malformed: int = 0

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.labels)


def load_task(task: Task, folder: Path | None, name: str) -> dict[str, Examples]:
    """The training split and the validation splits by name, from the folder or, without one, from the hub."""
    return read_task(task, folder) if folder is not None else load_hub_task(task, name)


def read_task(task: Task, folder: Path) -> dict[str, Examples]:
    """Read a task from `folder/<TASK>/train.tsv` and its dev files."""
    existing_folder("glue", folder, f"GLUE's task folders ({task.folder}, ...)")
    here = existing_folder("glue", folder / task.folder, f"the files of {task.folder} (train.tsv, ...)")
    files = {TRAIN: "train.tsv"} | task.validation
    return {split: read_split(task, here / file) for split, file in files.items()}


def read_split(task: Task, path: Path) -> Examples:
    """Read one TSV file: tabs, no quoting, UTF-8 with or without a byte-order mark, columns by name.

    A row that cannot be read is left out and told; more of them than `malformed` allows are refused with the file.
    """
    lines = _lines(path)
    header = task.header or tuple(next(lines, (0, []))[1])
    places = [_column(path, header, name) for name in (*task.columns, task.label_column)]
    examples = Examples(tuple([] for _ in task.columns))
    malformed = MalformedRows(str(path))
    for number, cells in lines:
        try:
            *texts, label = _fields(task, header, places, cells)
        except MalformedRow as error:
            malformed.add(f"{path}:{number}", error)
            continue
        for column, text in zip(examples.texts, texts, strict=True):
            column.append(text)
        examples.labels.append(label)
    malformed.tell(len(examples))
    examples.malformed = len(malformed)
    return examples


def load_hub_task(task: Task, name: str) -> dict[str, Examples]:
    """Load a task from a hub data set in the layout of `nyu-mll/glue` (one configuration a task)."""
    from datasets import load_dataset

    from bert_distillation.hub_data import CANNOT_LOAD, reason_of

    if not name:
        raise InputError("glue: give a folder with --glue or a hub name with --glue_name.")
    repository, revision = split_revision(name)
    try:
        splits = load_dataset(repository, task.name, revision=revision)
    except CANNOT_LOAD as error:
        raise InputError(
            f"glue: could not load {task.name} from {name}: {reason_of(error)}. "
            "Check the name and the connection to the hub, or give a folder with --glue."
        ) from error
    return {split: _from_hub(task, name, splits, split) for split in (TRAIN, *task.validation)}


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers, from 1, and cells of the lines that are not blank."""
    if not path.is_file():
        raise InputError(f"There is no file {path}; GLUE's own layout has it.")
    for number, line in read_lines(path):
        text = line.rstrip("\r\n")
        if text.strip():
            yield number, text.split("\t")


def _column(path: Path, header: tuple[str, ...], name: str) -> int:
    if name not in header:
        there = ", ".join(header) or "nothing, the file is empty"
        raise InputError(f'{path} has no column "{name}"; it has: {there}.')
    if header.count(name) > 1:
        raise InputError(f'{path}: two columns are called "{name}"; give each a name of its own.')
    return header.index(name)


def _fields(task: Task, header: tuple[str, ...], places: list[int], cells: list[str]) -> list[Any]:
    if len(cells) != len(header):
        raise MalformedRow(f"{len(cells)} columns instead of {len(header)}")
    *texts, label = (cells[place] for place in places)
    for name, text in zip(task.columns, texts, strict=True):
        if not text.strip():
            raise MalformedRow(f'column "{name}" is empty')
    return [*texts, _score(task, label) if task.is_regression else _class_id(task, label)]


def _class_id(task: Task, label: str) -> int:
    if label not in task.file_labels:
        raise MalformedRow(f'label "{label}" is not one of {", ".join(task.file_labels)}')
    return task.file_labels.index(label)


def _score(task: Task, text: str) -> float:
    low, high = task.score_range or (0.0, 0.0)
    try:
        score = float(text)
    except ValueError:
        raise MalformedRow(f'score "{text}" is not a number') from None
    if not low <= score <= high:  # also refuses NaN
        raise MalformedRow(f"score {text} is not between {low:g} and {high:g}")
    return score


def _from_hub(task: Task, name: str, splits: Any, split: str) -> Examples:
    if split not in splits:
        raise InputError(f"glue: {task.name} of {name} has no split {split}; it has: {', '.join(splits)}.")
    rows = splits[split]
    missing = [column for column in (*task.hub_columns, "label") if column not in rows.column_names]
    if missing:
        there = ", ".join(rows.column_names)
        raise InputError(f'glue: {task.name} of {name} has no column "{missing[0]}"; it has: {there}.')
    labels, texts = list(rows["label"]), tuple(list(rows[column]) for column in task.hub_columns)
    low, high = task.score_range or (0, len(task.labels) - 1)
    allowed = f"a number from {low:g} to {high:g}" if task.is_regression else f"a class from {low} to {high}"
    for row, label in enumerate(labels):
        kinds = (int, float) if task.is_regression else (int,)
        if type(label) not in kinds or not low <= label <= high:  # also refuses NaN
            raise InputError(
                f"glue: {task.name} of {name} has the label {label!r} in row {row} of {split}, not {allowed}."
            )
    for column, values in zip(task.hub_columns, texts, strict=True):
        for row, text in enumerate(values):
            if not isinstance(text, str):
                raise InputError(f'glue: {task.name} of {name} has no text in "{column}" in row {row} of {split}.')
    return Examples(texts, labels)
