"""Sentences with masked words, and the words: the rows of `test_data`."""

import logging
from dataclasses import dataclass
from pathlib import Path

from bert_distillation.errors import InputError
from bert_distillation.malformed import TOLD, MalformedRow, MalformedRows
from bert_distillation.table_files import TableRow, read_table, table_files

INPUT_COLUMN, LABEL_COLUMN = "input_string", "title"  # what Azure's samples call them
FRAME = ("[CLS]", "[SEP]")  # what some files write round each text, and what the predictor puts there itself

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClozeRow:
    """A text with one mask or several, and what was there."""

    input_string: str
    title: str


@dataclass(frozen=True)
class ClozeRows:
    """The rows that can be asked, and how many others there were."""

    rows: list[ClozeRow]
    skipped: int = 0  # texts without a mask
    malformed: int = 0


def read_cloze(
    path: Path, mask_token: str, input_column: str = INPUT_COLUMN, label_column: str = LABEL_COLUMN
) -> ClozeRows:
    """The rows of a csv, tsv, json or jsonl file, or of a folder of them.

    A text without a mask is told and left out, and so is a row that cannot be read (see `malformed`). `[CLS]` and
    `[SEP]` round a text are taken off. InputError where no row is left.
    """
    malformed, rows, skipped = MalformedRows(str(path)), [], []
    for file in table_files("test_data", path):
        for row in read_table(file, malformed):
            try:
                text = unframed(row.text(input_column))
                if mask_token in text:
                    rows.append(ClozeRow(text, row.text(label_column)))
                else:
                    skipped.append(row)
            except MalformedRow as error:
                malformed.add(row.place, error)
    malformed.tell(len(rows) + len(skipped))
    _tell_skipped(path, mask_token, rows, skipped, input_column)
    return ClozeRows(rows, len(skipped), len(malformed))


def unframed(text: str) -> str:
    """The text without `[CLS]` at its beginning and `[SEP]` at its end."""
    first, last = FRAME
    return text.strip().removeprefix(first).removesuffix(last).strip()


def _tell_skipped(
    path: Path, mask_token: str, rows: list[ClozeRow], skipped: list[TableRow], input_column: str
) -> None:
    total = len(rows) + len(skipped)
    if not rows:
        other = next((mark for mark in ("<mask>", "[MASK]") if mark in str(skipped[0].values[input_column])), None)
        hint = f" {skipped[0].place} has {other}: write {mask_token}." if other else ""
        raise InputError(f"test_data: none of the {total} rows of {path} has a {mask_token}.{hint}")
    for row in skipped[:TOLD]:
        logger.warning("%s: the text has no %s; it is left out", row.place, mask_token)
    if skipped:
        logger.warning("%s: %d of %d texts have no %s", path, len(skipped), total, mask_token)
