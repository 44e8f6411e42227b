"""Sentences with one word masked, and the word: the rows of `test_data`."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from bert_distillation.errors import InputError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClozeRow:
    """A text with one mask, and the word that was there."""

    input_string: str
    title: str


def read_cloze(path: Path, mask_token: str) -> tuple[list[ClozeRow], int]:
    """The rows with exactly one mask, and how many others were left out; `path` is a jsonl file or a folder of them."""
    rows = [row for file in jsonl_files(path) for row in read_rows(file)]
    usable = [row for row in rows if row.input_string.count(mask_token) == 1]
    if not usable:
        raise InputError(f"test_data: none of the {len(rows)} rows of {path} has exactly one {mask_token}.")
    if len(usable) < len(rows):
        logger.warning("%s: %d of %d rows do not have one %s", path, len(rows) - len(usable), len(rows), mask_token)
    return usable, len(rows) - len(usable)


def jsonl_files(path: Path) -> list[Path]:
    """The file itself, or the jsonl files of a folder in order of name."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"test_data: there is no file or folder {path}; give a jsonl file of input_string and title.")
    files = sorted(file for file in path.glob("*.jsonl") if file.is_file())
    if not files:
        raise InputError(f"test_data: the folder {path} holds no .jsonl file; give rows of input_string and title.")
    return files


def read_rows(file: Path) -> list[ClozeRow]:
    """Every row of a jsonl file; blank lines are passed over."""
    rows = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if line.strip():
            rows.append(parse_row(line, f"{file}:{number}"))
    return rows


def parse_row(line: bytes, place: str) -> ClozeRow:
    """One row; an error names the file and the line."""
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: not UTF-8 text (byte {error.start + 1} of the line).") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON ({error.msg} at character {error.pos + 1}).") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or nested as deep
        raise InputError(f"{place}: not JSON that can be read ({error}).") from None
    if not isinstance(row, dict):
        raise InputError(f"{place}: a row is an object with input_string and title, not {type(row).__name__}.")
    for name in ("input_string", "title"):
        if not isinstance(row.get(name), str):
            there = ", ".join(row) or "nothing"
            raise InputError(f'{place}: no text in column "{name}"; the row has: {there}.')
    return ClozeRow(*(_printable(row[name]) for name in ("input_string", "title")))


def _printable(text: str) -> str:
    """The text; half of a surrogate pair, which JSON can spell and UTF-8 cannot, becomes '?'."""
    return text.encode("utf-8", "replace").decode("utf-8")
