"""The files of the nine GLUE tasks: their headers, their columns, and how many rows of which label.

The layouts are those of the original distribution, with its byte order mark in MRPC and no header in CoLA.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from writing import glue_pairs, glue_sentences
from writing.glue_pairs import CONTRADICTION, ENTAILMENT, NEUTRAL, NOT_ENTAILMENT

TRAIN_ROWS, DEV_ROWS = 480, 96
"""Rows of a file: multiples of two, three and six, so that the labels of every task are balanced exactly."""

# MNLI's second dev set is about other things than its training set.
_MATCHED = ("countries", "animals", "professions")
_MISMATCHED = ("materials", "foods", "instruments", "rivers", "months", "opposites")

_BINARY = ("1", "0")
_ENTAILED = (ENTAILMENT, NOT_ENTAILMENT)
_GRADES = ("5.000", "4.000", "3.000", "2.000", "1.000", "0.000")

Draw = Callable[[str, random.Random], tuple[str, str]]


@dataclass(frozen=True)
class Example:
    """One row before it is laid out: its number in the file, its two texts (the second may be empty) and its label."""

    index: int
    first: str
    second: str
    label: str
    genre: str


@dataclass(frozen=True)
class Task:
    """A GLUE task: folder, header (or none), labels, and how a row looks in columns."""

    folder: str
    header: str
    labels: tuple[str, ...]
    columns: Callable[[Example], tuple[str, ...]]


def _indexed(row: Example) -> tuple[str, ...]:
    return str(row.index), row.first, row.second, row.label


def _ids(row: Example) -> tuple[str, str]:
    return str(2 * row.index + 1), str(2 * row.index + 2)


_NLI_HEADER = "index\tsentence1\tsentence2\tlabel"
_PARSES = ("-",) * 4

COLA = Task("CoLA", "", _BINARY, lambda row: ("own", row.label, row.second, row.first))
SST2 = Task("SST-2", "sentence\tlabel", _BINARY, lambda row: (row.first, row.label))
MRPC = Task(
    "MRPC",
    "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
    _BINARY,
    lambda row: (row.label, *_ids(row), row.first, row.second),
)
STSB = Task(
    "STS-B",
    "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
    _GRADES,
    lambda row: (
        *(str(row.index), row.genre, "facts", "none", str(row.index), "none", "none"),
        *(row.first, row.second, row.label),
    ),
)
QQP = Task(
    "QQP",
    "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
    _BINARY,
    lambda row: (str(row.index), *_ids(row), row.first, row.second, row.label),
)
QNLI = Task("QNLI", "index\tquestion\tsentence\tlabel", _ENTAILED, _indexed)
RTE = Task("RTE", _NLI_HEADER, _ENTAILED, _indexed)
WNLI = Task("WNLI", _NLI_HEADER, _BINARY, _indexed)
MNLI = Task(
    "MNLI",
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
    "\tsentence1\tsentence2\tlabel1\tgold_label",
    (ENTAILMENT, NEUTRAL, CONTRADICTION),
    lambda row: (
        *(str(row.index), str(row.index), f"{row.index}{row.label[0]}", row.genre, *_PARSES),
        *(row.first, row.second, row.label, row.label),
    ),
)


def write_glue(corpus: dict[str, str]) -> dict[str, str]:
    """Every file of every task, `<folder>/<split>.tsv` by its text; CoLA's sentences are taken from the corpus."""
    acceptable = partial(glue_sentences.acceptable, sentences=glue_sentences.plain_sentences(corpus))
    draws: list[tuple[Task, Draw]] = [
        (COLA, acceptable),
        (SST2, glue_sentences.sentiment),
        (MRPC, glue_pairs.paraphrase),
        (STSB, glue_pairs.similarity),
        (QQP, glue_pairs.same_question),
        (QNLI, glue_pairs.answered),
        (RTE, glue_pairs.follows),
        (WNLI, glue_sentences.pronoun),
    ]
    files = {name: text for task, draw in draws for name, text in _train_and_dev(task, draw).items()}
    matched = partial(glue_pairs.inference, tables=_MATCHED)
    mismatched = partial(glue_pairs.inference, tables=_MISMATCHED)
    files |= _train_and_dev(MNLI, matched, dev="dev_matched", genre="world")
    files["MNLI/dev_mismatched.tsv"] = _file(MNLI, list(_examples(MNLI, mismatched, DEV_ROWS, "things")))
    return files


def _train_and_dev(task: Task, draw: Draw, dev: str = "dev", genre: str = "facts") -> dict[str, str]:
    examples = list(_examples(task, draw, TRAIN_ROWS + DEV_ROWS, genre))
    splits = {"train": examples[:TRAIN_ROWS], dev: examples[TRAIN_ROWS:]}
    return {f"{task.folder}/{split}.tsv": _file(task, rows) for split, rows in splits.items()}


def _examples(task: Task, draw: Draw, count: int, genre: str) -> Iterator[Example]:
    """So many different examples, the labels in turn."""
    rng = random.Random(f"{task.folder} {genre}")
    seen: set[tuple[str, str]] = set()
    for label in cycle(task.labels):
        if len(seen) == count:
            return
        while (texts := draw(label, rng)) in seen:
            pass
        seen.add(texts)
        yield Example(len(seen) - 1, *texts, label, genre)


def _file(task: Task, examples: list[Example]) -> str:
    lines = ["\t".join(task.columns(example)) for example in examples]
    return "\n".join([task.header, *lines] if task.header else lines) + "\n"
