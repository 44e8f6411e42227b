"""The corpus as a stream of documents: files of a folder, or data sets of the hub; never more than a part in memory."""

import itertools
import json
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from bert_distillation.errors import InputError
from bert_distillation.hub import split_revision
from bert_distillation.hub_data import CANNOT_LOAD, reason_of
from bert_distillation.options import existing_folder
from bert_distillation.text_lines import listed, printable, read_lines

FILE_KINDS = "*.txt (a blank line between documents), *.jsonl or *.parquet (with `text`), or *.txt.gz and *.jsonl.gz"
TEXT = "text"

# Data sets whose rows are single sentences in the order of their books, without a mark between documents.
SENTENCE_ROWS = "bookcorpus"  # not bookcorpusopen, whose rows are books

# A file without blank lines would be one document; so many characters of it at a time keep the memory flat.
LONGEST_DOCUMENT = 1_000_000
LONGEST_LINE = 100_000_000  # bytes; a longer one is no text, and reading on would fill the memory


def read_corpus(folder: Path | None, names: str, sentences_per_document: int) -> Iterator[str]:
    """The documents of the folder or, where there is none, of the comma-separated hub data sets, one after another."""
    if folder is not None:
        return read_folder(folder)
    parsed = [name.strip() for name in names.split(",") if name.strip()]
    if not parsed:
        raise InputError("corpus: give a folder with --corpus or hub data sets with --corpus_names.")
    return itertools.chain.from_iterable(read_data_set(name, sentences_per_document) for name in parsed)


def read_folder(folder: Path) -> Iterator[str]:
    """The documents of the folder's files and of the folders in it, in order of name."""
    existing_folder("corpus", folder, FILE_KINDS)
    files = [(path, reader) for path in corpus_files(folder) if (reader := _reader(path))]
    check_text_is_there_once(folder, {path for path, _ in files})
    if not files:
        raise InputError(f"corpus: {folder} holds no text; looked for {FILE_KINDS}.")
    return itertools.chain.from_iterable(reader(path) for path, reader in files)


def corpus_files(folder: Path) -> list[Path]:
    """Files of the folder in order of their names; hidden ones are left out."""
    return [path for path in _paths(folder) if path.is_file()]


def check_text_is_there_once(folder: Path, files: Set[Path]) -> None:
    """Refuse a link to text that is gone, and a text that is also there packed."""
    for path in _paths(folder):
        if _reader(path) and not path.exists():
            raise InputError(f"corpus: {path} is a link that leads nowhere; mend or remove it.")
        if path in files and (packed := path.with_name(f"{path.name}.gz")) in files:
            raise InputError(
                f"corpus: {packed} would be read beside {path}, the same text twice; take one of them out."
            )


def _paths(folder: Path) -> list[Path]:
    """All that is in a folder and below, but what is hidden, in order of name."""
    paths = sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def read_text(path: Path) -> Iterator[str]:
    """Documents of a text file: runs of lines between blank lines."""
    lines: list[str] = []
    size = 0
    for _, ended in read_lines(path, LONGEST_LINE):
        line = ended.rstrip("\r\n")
        if lines and (not line.strip() or size > LONGEST_DOCUMENT):
            yield "\n".join(lines)
            lines, size = [], 0
        if line.strip():
            lines.append(line)
            size += len(line)
    if lines:
        yield "\n".join(lines)


def read_jsonl(path: Path) -> Iterator[str]:
    """Documents of a file with one JSON object a line, its text under `text`."""
    for number, line in read_lines(path, LONGEST_LINE):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", None) or str(error)
            raise InputError(f"{path}:{number} is not a JSON object ({reason}); mend or remove the line.") from None
        if not isinstance(row, dict):
            raise InputError(
                f"{path}:{number} is not a JSON object; each line must be one, with its text under `text`."
            )
        yield _text_of(row, f"{path}:{number}")


def read_parquet(path: Path) -> Iterator[str]:
    """Documents of a parquet file, its text in the column `text`."""
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if TEXT not in names:
                raise InputError(f"{path} has no column `text`; its columns are {listed(names)}.")
            for batch in file.iter_batches(batch_size=256, columns=[TEXT]):
                for text in batch.column(0).to_pylist():
                    yield _text_of({TEXT: text}, str(path))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a readable parquet file: {reason_of(error)}.") from error


def read_data_set(name: str, sentences_per_document: int) -> Iterator[str]:
    """Documents of a hub data set, `name[:config][@revision]`, streamed from its split `train`."""
    path, config, revision = parse_name(name)
    try:
        rows = datasets.load_dataset(path, config, revision=revision, split="train", streaming=True)
        texts = (_text_of(row, f"corpus: a row of {name}") for row in rows)
        if path.rpartition("/")[2].lower() == SENTENCE_ROWS:
            yield from join_sentences(texts, sentences_per_document)
        else:
            yield from texts
    except InputError:
        raise
    except CANNOT_LOAD as error:
        raise InputError(
            f"corpus: could not load the data set {name}: {reason_of(error)}. "
            "Check its name and the connection to the hub, or give a folder of text with --corpus."
        ) from error


def parse_name(name: str) -> tuple[str, str | None, str | None]:
    """'owner/name:config@revision' -> (name, config, revision); the defaults have pinned revisions."""
    name, at, revision = name.partition("@")
    name, _, config = name.partition(":")
    path, pinned = split_revision(name + at + revision)
    return path, config or None, pinned


def join_sentences(rows: Iterator[str], sentences_per_document: int) -> Iterator[str]:
    """Documents of so many rows each, one sentence a line; the last may be shorter."""
    while document := list(itertools.islice(rows, sentences_per_document)):
        yield "\n".join(document)


def _reader(path: Path) -> Any:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".txt"):
        return read_text
    if name.endswith(".jsonl"):
        return read_jsonl
    return read_parquet if path.name.lower().endswith(".parquet") else None


def _text_of(row: dict[str, Any], place: str) -> str:
    """The row's text; half of a surrogate pair, which JSON can spell and UTF-8 cannot, becomes '?'."""
    if TEXT not in row:
        raise InputError(f"{place} has no column `text`; it has {listed(row)}.")
    text = row[TEXT]
    if not isinstance(text, str):
        raise InputError(f"{place}: `text` must be a string, got {type(text).__name__}.")
    return printable(text)
