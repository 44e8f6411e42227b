"""Files as they are sent: a chunk at a time, and no more than was said."""

from collections.abc import Iterator
from pathlib import Path

CHUNK = 1 << 20  # bytes


def read_part(file: Path, start: int, length: int) -> Iterator[bytes]:
    """`length` bytes from `start` on: a file that is written meanwhile is longer by the time it has been read."""
    with file.open("rb") as source:
        source.seek(start)
        while length > 0 and (chunk := source.read(min(CHUNK, length))):
            length -= len(chunk)
            yield chunk
