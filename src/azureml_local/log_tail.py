"""The ends of logs, read while they are written."""

import codecs
from dataclasses import dataclass
from pathlib import Path

TAIL = 64 * 1024  # bytes
LAST_LINE = 2000  # bytes in which the last line is looked for


@dataclass(frozen=True)
class Piece:
    """A part of a log: the text between two places in it (bytes), and how long the log is by now."""

    start: int
    end: int
    size: int
    text: str


def read_from(log: Path, offset: int | None = None) -> Piece:
    """What follows `offset`, or the log's end where that is too much, not asked for, or not there any more."""
    with log.open("rb") as stream:
        size = stream.seek(0, 2)
        known = offset is not None and 0 <= offset <= size and size - offset <= TAIL
        start = offset if known and offset is not None else max(0, size - TAIL)
        stream.seek(start)
        content = stream.read(TAIL)
    if not known and start:  # begin with a whole line, if there is one
        start += content.find(b"\n") + 1
        content = content[content.find(b"\n") + 1 :]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(content)
    waiting, _ = decoder.getstate()  # the first bytes of a character whose others are still to come
    return Piece(start, start + len(content) - len(waiting), size, text)


def last_line(folder: Path) -> str:
    """The last line that is not empty of the first log in a folder; of a line that was written over, what remained."""
    logs = sorted(folder.glob("*.txt"))
    if not logs:
        return ""
    with logs[0].open("rb") as stream:
        stream.seek(max(0, logs[0].stat().st_size - LAST_LINE))
        lines = stream.read().decode(errors="replace").replace("\r", "\n").split("\n")
    written = [line.strip() for line in lines if line.strip()]
    return written[-1] if written else ""
