"""Rows with named columns from csv, tsv, json and jsonl files: each row with its file and line."""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_distillation.errors import InputError
from bert_distillation.malformed import MalformedRow, MalformedRows
from bert_distillation.text_lines import LONGEST_LINE, listed, printable, read_lines
from bert_distillation.tracking import STEP_FILE

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv")
LONGEST_DOCUMENT = 1_000_000_000  # bytes of a line of .json, which may hold all rows


@dataclass(frozen=True)
class TableRow:
    """A row, with the place to name it by."""

    place: str
    values: dict[str, Any]

    def text(self, column: str) -> str:
        """The text in a column; MalformedRow where there is none."""
        if column not in self.values:
            raise MalformedRow(f'no column "{column}"; the row has: {printable(listed(self.values))}')
        value = self.values[column]
        if not isinstance(value, str):
            raise MalformedRow(f'column "{column}" holds {type(value).__name__} instead of a text')
        if not value.strip():
            raise MalformedRow(f'column "{column}" is empty')
        return printable(value)


def table_files(name: str, path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """The file itself, or the files of a folder in order of name. name: of the input, for errors."""
    kinds = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
    if path.is_file():
        if kind_of(path) not in suffixes:
            raise InputError(f"{name}: {path} is not a {kinds} file.")
        return [path]
    if not path.is_dir():
        raise InputError(f"{name}: there is no file or folder {path}; give a {kinds} file, or a folder of them.")
    # A folder that one of our steps wrote describes itself in a file that is no table.
    found = (file for file in path.iterdir() if file.is_file() and file.name != STEP_FILE)
    files = sorted(file for file in found if kind_of(file) in suffixes)
    if not files:
        raise InputError(f"{name}: the folder {path} holds no {kinds} file.")
    return files


def kind_of(file: Path) -> str:
    """The suffix that says how a file is read, without that of its compression."""
    return Path(file.name.removesuffix(".gz")).suffix.lower()


def read_table(file: Path, malformed: MalformedRows) -> Iterator[TableRow]:
    """The rows of a file, `.gz` unpacked; those that cannot be read go to `malformed`."""
    kind = kind_of(file)
    if kind == ".json":
        yield from _json_rows(file, "".join(text for _, text in read_lines(file, LONGEST_DOCUMENT)), malformed)
    elif kind == ".jsonl":
        yield from _json_lines(file, read_lines(file), malformed)
    else:
        yield from _separated(file, read_lines(file), "\t" if kind == ".tsv" else ",", malformed)


def _json_lines(file: Path, lines: Iterator[tuple[int, str]], malformed: MalformedRows) -> Iterator[TableRow]:
    for number, line in lines:
        if line.strip():
            try:
                yield TableRow(place := f"{file}:{number}", _object(_parse(line)))
            except MalformedRow as error:
                malformed.add(place, error)


def _json_rows(file: Path, text: str, malformed: MalformedRows) -> Iterator[TableRow]:
    try:
        content = _parse(text)
    except MalformedRow as error:
        raise InputError(f"{file}: {error}.") from None
    if not isinstance(content, list):
        malformed.add(f"{file}", f"a .json file is a list of objects, not {type(content).__name__}; see .jsonl")
        return
    for number, row in enumerate(content, start=1):
        try:
            yield TableRow(f"{file}: row {number}", _object(row))
        except MalformedRow as error:
            malformed.add(f"{file}: row {number}", error)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedRow(f"not JSON ({error.msg} at character {error.pos + 1})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or nested as deep
        raise MalformedRow(f"not JSON that can be read ({error})") from None


def _object(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise MalformedRow(f"a row is an object with a value for each column, not {type(row).__name__}")
    return row


def _separated(
    file: Path, lines: Iterator[tuple[int, str]], delimiter: str, malformed: MalformedRows
) -> Iterator[TableRow]:
    csv.field_size_limit(min(LONGEST_LINE, sys.maxsize))
    reader = csv.reader((text for _, text in lines), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        start = reader.line_num + 1  # a quoted cell may go over several lines
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if str(error) == "unexpected end of data":
                raise InputError(f"{file}:{start}: a quote that opens in this row is never closed.") from None
            reason = str(error).partition(" - ")[0]  # after it the library speaks to programmers
            malformed.add(f"{file}:{start}", f"not a row of cells ({reason})", reader.line_num - start + 1)
            continue
        if cells is None:
            return
        if not cells:
            continue
        if header is None:
            header = _header(file, cells)
        elif len(cells) != len(header):
            reason = f"{len(cells)} columns instead of {len(header)}"
            malformed.add(f"{file}:{start}", reason, reader.line_num - start + 1)
        else:
            yield TableRow(f"{file}:{start}", dict(zip(header, cells, strict=True)))


def _header(file: Path, cells: list[str]) -> list[str]:
    twice = sorted({cell for cell in cells if cells.count(cell) > 1})
    if twice:
        raise InputError(f'{file}: two columns are called "{twice[0]}"; give each a name of its own.')
    return cells
