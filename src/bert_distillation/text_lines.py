"""Numbered lines of UTF-8 files, packed or not, with a limit that keeps a file without line ends out of memory."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from pathlib import Path

from bert_distillation.errors import InputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LONGEST_LINE = 10_000_000  # bytes; a longer one is no row of text, and reading on would fill the memory


def read_lines(file: Path, longest: int = 0) -> Iterator[tuple[int, str]]:
    """Numbers, from 1, and texts of the lines, their ends included; `.gz` is unpacked, a byte-order mark taken off.

    longest: bytes from which a line is an error; 0 means `LONGEST_LINE`.
    """
    try:
        with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as stream:
            yield from _numbered(file, stream, longest or LONGEST_LINE)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{file} is not a whole gzip file ({str(error).rstrip('.')}); make it anew.") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}.") from error


def _numbered(file: Path, stream: BufferedIOBase, longest: int) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(iter(lambda: stream.readline(longest), b""), start=1):
        if len(line) == longest:
            raise InputError(f"{file}:{number}: the line is longer than {longest:,} bytes; make several lines of it.")
        try:
            yield number, (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).decode("utf-8")
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise InputError(
                f"{file}:{number} is not UTF-8 text (byte 0x{byte:02x} at position {error.start + 1} of the line); "
                "save the file as UTF-8."
            ) from None


def listed(names: Iterable[object]) -> str:
    """Names in one line, whatever is in them; 'nothing' where there are none."""
    return ", ".join(" ".join(str(name).split()) for name in names) or "nothing"


def too_many_words(words: int, last_id: int, embeddings: int) -> str:
    """How a tokenizer does not fit a model: it has more words or, where its ids have gaps, larger ids."""
    gaps = f", one of them with the id {last_id}," if last_id >= words else ""
    return f"{words} words{gaps} and the model {embeddings}"


def printable(text: str) -> str:
    """The text, with '?' for half of a surrogate pair, which JSON can spell and UTF-8 cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
