"""Every `${{...}}` and `$[[...]]` in a text with its place, in one pass, whatever the text."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass

OPENS, CLOSES = "${{", "}}"
OPTIONAL_OPENS, OPTIONAL_CLOSES = "$[[", "]]"
_PATH = re.compile(r"[\w-]+(?:\.[\w-]+)*")


@dataclass(frozen=True)
class Reference:
    """One expression: what it reads, where it stands, and whether inside `$[[...]]`."""

    path: str
    start: int
    end: int
    is_optional: bool = False

    @property
    def parts(self) -> list[str]:
        """The path's names: parent, inputs, x."""
        return self.path.split(".")

    def written(self, text: str) -> str:
        """The expression as it stands in the text."""
        return text[self.start : self.end]


def references(text: str) -> list[Reference]:
    """The well-formed expressions of a text, in order; `malformed` has the others."""
    optional = list(_spans(text, OPTIONAL_OPENS, OPTIONAL_CLOSES))
    found = []
    for start, end in _spans(text, OPENS, CLOSES):
        path = text[start + len(OPENS) : end - len(CLOSES)].strip()
        if _PATH.fullmatch(path):
            around = bisect(optional, (start, end)) - 1
            found.append(Reference(path, start, end, around >= 0 and end < optional[around][1]))
    return found


def malformed(text: str) -> str | None:
    """What is wrong with the expressions of a text; None where nothing is."""
    end = 0
    for start, end in _spans(text, OPENS, CLOSES):
        inside = text[start + len(OPENS) : end - len(CLOSES)].strip()
        if not _PATH.fullmatch(inside):
            return f'"{shown(text[start:end])}" is not a dotted path such as ${{{{inputs.x}}}}'
    if OPENS in text[end:]:
        return (
            f'"{shown(text[text.find(OPENS, end) :])}" opens an expression with ${{{{ and does not close it with }}}}'
        )
    return None


def whole_reference(text: str) -> Reference | None:
    """The expression that a text is, where it is one and nothing else."""
    found = references(text)
    return found[0] if len(found) == 1 and found[0].written(text) == text.strip() else None


def shown(text: str) -> str:
    """A text in a sentence: on one line, and no longer than one can read."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:77]}..."


def _spans(text: str, opens: str, closes: str) -> Iterator[tuple[int, int]]:
    start = text.find(opens)
    while start >= 0:
        end = text.find(closes, start)
        if end < 0:
            return
        yield start, end + len(closes)
        start = text.find(opens, end + len(closes))
