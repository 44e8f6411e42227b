"""`${{path}}` reads a value, `$[[...]]` is left out when an optional input inside it is not given."""

from __future__ import annotations

import difflib
import re
from bisect import bisect
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from azureml_local.spec import SpecError

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
        rest = text[text.find(OPENS, end) :]
        return f'"{shown(rest)}" opens an expression with ${{{{ and does not close it with }}}}'
    return None


def whole_reference(text: str) -> Reference | None:
    """The expression that a text is, where it is one and nothing else."""
    found = references(text)
    return found[0] if len(found) == 1 and found[0].written(text) == text.strip() else None


def substitute(text: str, value_of: Callable[[str], str]) -> str:
    """The text with each expression replaced by the value of its path. What a value contains is not read again.

    Raises SpecError for an expression without an end, and for one that is not a dotted path.
    """
    if fault := malformed(text):
        raise SpecError(fault)
    pieces, end = [], 0
    for reference in references(text):
        pieces += [text[end : reference.start], value_of(reference.path)]
        end = reference.end
    return "".join([*pieces, text[end:]])


def command_line(command: str, values: Mapping[str, str | None]) -> str:
    """A component's command with its values in it, unquoted, as Azure puts them.

    values: `inputs.x` or `outputs.x` -> text; None for an optional input that is not given.
    Raises SpecError for a name that is not there, and for one not given outside `$[[...]]`.
    """

    def given(path: str) -> str | None:
        return values[key_for(path, values)]

    def value_of(path: str) -> str:
        value = given(path)
        if value is None:
            raise SpecError(f'the command reads "{path}", which is optional and not given: put it inside $[[...]]')
        return value

    pieces, end = [], 0
    for start, after in _spans(command, OPTIONAL_OPENS, OPTIONAL_CLOSES):
        inside = command[start + len(OPTIONAL_OPENS) : after - len(OPTIONAL_CLOSES)]
        is_there = all(given(reference.path) is not None for reference in references(inside))
        pieces += [command[end:start], inside if is_there else ""]
        end = after
    return substitute("".join([*pieces, command[end:]]), value_of)


def key_for(path: str, known: Iterable[str]) -> str:
    """The name that a path means: itself, or what is before `.path`, which Azure lets one write after an input.

    Raises SpecError with the nearest known name.
    """
    names = list(known)
    if name := meant(path, names):
        return name
    raise SpecError(f'"{path}" is not there{did_you_mean(path, names)}')


def meant(path: str, known: Container[str]) -> str | None:
    """The name that a path means, as in `key_for`, or None: what is near it takes long to find where there are many."""
    return next((name for name in (path, path.removesuffix(".path")) if name in known), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error sentence: the nearest known name, or all of them where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; there are {', '.join(names)}" if names else "; there are none"


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
