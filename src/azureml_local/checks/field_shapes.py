"""What a field may hold: a text, a number, a list, or fields of its own; and where a value does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from azureml_local.checks.scopes import nearest
from azureml_local.checks.sections import is_to_be_filled_in
from azureml_local.checks.table import Finding, Where
from azureml_local.expressions import OPENS, shown

WRONG_SHAPE, UNKNOWN_FIELD, MISSING_FIELD = "wrong-shape", "unknown-field", "missing-field"
TRUTHS = frozenset({"true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0"})  # to the SDK
OF_ANY_NAME = frozenset({"tags", "properties", "identity"})  # whose fields say little without it
DIGITS = 20  # of a number, at most


@dataclass(frozen=True)
class Misfit:
    """A value that does not fit, by the rule that says so."""

    rule: str
    finding: Finding
    of_expression: bool = False  # which fits where there are expressions


class Shape(Protocol):
    """What a value may be."""

    def misfits(self, where: Where, value: Any) -> Iterator[Misfit]:
        """Where a value, which is neither empty nor an expression, does not fit."""


@dataclass(frozen=True)
class One:
    """A value that holds no others, as far as anybody looks."""

    fits: Callable[[Any], bool]
    way_out: Callable[[Any], str]  # what to write in place of a value that does not fit

    def misfits(self, where: Where, value: Any) -> Iterator[Misfit]:
        """The value itself, if it does not fit."""
        if not self.fits(value):
            yield _wrong(where, value, self.way_out(value))


@dataclass(frozen=True)
class OrNothing:
    """What may also be empty."""

    of: Shape

    def misfits(self, where: Where, value: Any) -> Iterator[Misfit]:
        """As of what it is."""
        return self.of.misfits(where, value)


@dataclass(frozen=True)
class Fields:
    """Fields of its own, each with its shape; unless it is open, no others."""

    shapes: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    is_open: bool = False

    def misfits(self, where: Where, value: Any) -> Iterator[Misfit]:
        """Those of the fields, fields that there are not, and fields that are missing."""
        if not isinstance(value, Mapping):
            yield _wrong(where, value, NAMED)
            return
        for name, inner in value.items():
            if shape := self.shapes.get(name):
                yield from misfits(shape, (*where, name), inner)
            elif not self.is_open:
                message = f'"{where[-1]}" has no field "{name}"{near(name, self.shapes)}'
                yield Misfit(UNKNOWN_FIELD, Finding((*where, name), message))
        for name in self.required:
            if name not in value:
                yield Misfit(MISSING_FIELD, Finding(where, f'"{where[-1]}" needs "{name}"'))


@dataclass(frozen=True)
class Within:
    """A mapping of a shape; of anything else another rule says what is wrong with it."""

    of: Shape

    def misfits(self, where: Where, value: Any) -> Iterator[Misfit]:
        """Those of the mapping."""
        if isinstance(value, Mapping):
            yield from self.of.misfits(where, value)


@dataclass(frozen=True)
class Each:
    """Names of the user's own, each with a value of one shape."""

    of: Shape

    def misfits(self, where: Where, value: Any) -> Iterator[Misfit]:
        """Those of the values."""
        if not isinstance(value, Mapping):
            yield _wrong(where, value, NAMED)
            return
        for name, inner in value.items():
            yield from misfits(self.of, (*where, str(name)), inner)


@dataclass(frozen=True)
class Items:
    """A list, of values of one shape."""

    of: Shape

    def misfits(self, where: Where, value: Any) -> Iterator[Misfit]:
        """Those of the values."""
        if not isinstance(value, list):
            yield _wrong(where, value, "write a list of them")
            return
        for index, inner in enumerate(value):
            yield from misfits(self.of, (*where, _Index(index)), inner)


@dataclass(frozen=True)
class TextOr:
    """A text, or what else there may be."""

    other: Shape
    way_out: str
    takes: type = str  # of what holds no others

    def misfits(self, where: Where, value: Any) -> Iterator[Misfit]:
        """Those of what else it is."""
        if isinstance(value, Mapping | list):
            found = list(self.other.misfits(where, value))
            wrong = any(one.finding.where == where and one.rule == WRONG_SHAPE for one in found)
            yield from [_wrong(where, value, self.way_out)] if wrong else found
        elif not isinstance(value, self.takes):
            yield _wrong(where, value, self.way_out)


@dataclass(frozen=True)
class ByType:
    """Fields of its own, by the word under `type`; what no word is, another rule says."""

    types: Mapping[str, Fields]
    common: Fields = field(default_factory=lambda: Fields({}))
    needs_type: bool = True

    def misfits(self, where: Where, value: Any) -> Iterator[Misfit]:
        """Those of the fields that go with the type."""
        if not isinstance(value, Mapping):
            yield _wrong(where, value, NAMED)
        elif "type" not in value and self.needs_type:
            yield Misfit(MISSING_FIELD, Finding(where, f'"{where[-1]}" needs "type"'))
        elif "type" not in value:
            yield from self.common.misfits(where, value)
        elif isinstance(value["type"], str):
            if chosen := next((self.types[word] for word in words_of(value["type"]) if word in self.types), None):
                shapes = {"type": TEXT, **self.common.shapes, **chosen.shapes}
                yield from Fields(shapes, chosen.required, chosen.is_open).misfits(where, value)
        else:
            yield from misfits(WORD, (*where, "type"), value["type"])


def misfits(shape: Shape, where: Where, value: Any) -> Iterator[Misfit]:
    """Where a value does not fit; what a template leaves to be filled in may be anything."""
    if value is None:
        if not isinstance(shape, OrNothing):
            message = f"{_name(where)} is empty: write something, or take it away"
            yield Misfit(WRONG_SHAPE, Finding(where, message))
    elif isinstance(value, str) and OPENS in value:
        yield from (replace(one, of_expression=True) for one in shape.misfits(where, value))
    elif not (isinstance(value, str) and is_to_be_filled_in(value)):
        yield from shape.misfits(where, value)


def words_of(text: str) -> tuple[str, str]:
    """A word as the SDK may read it: in lower case, and with the parts of a joined one set apart, as in AMLToken."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return text.lower(), parted.lower()


def said(value: Any) -> str:
    """A value as a person says it."""
    match value:
        case bool():
            return str(value).lower()
        case Mapping():
            return "a mapping"
        case list():
            return "a list"
        case int() | float():
            return str(value)
    return f'"{shown(str(value))}"'


def near(name: str, fields: Mapping[str, Any] | set[str]) -> str:
    """The field that was most likely meant, as the sentence goes on; "" where there is none like it."""
    known = nearest(name, fields)
    return known if known.endswith("?") else ""


def is_whole(value: Any, least: int = 0) -> bool:
    """Whether it is a whole number of at least so much, also as a text."""
    if isinstance(value, str):
        return value.isascii() and value.isdecimal() and len(value) < DIGITS and int(value) >= least
    if isinstance(value, float):
        return value.is_integer() and value >= least  # which the SDK makes whole
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_number(value: Any) -> bool:
    """Whether it is a number, also as a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        float(value)
    except (ValueError, OverflowError):
        return False
    return True


def _as_text(value: Any) -> str:
    return "write one text" if isinstance(value, Mapping | list) else "write it in quotes"


class _Index(str):
    """The place of an item in a list, in the way to a field."""

    __slots__ = ()


def _name(where: Where) -> str:
    if isinstance(where[-1], _Index):
        return f"{where[-2]}, item {int(where[-1]) + 1},"
    return ".".join(where[-2:]) if len(where) > 1 and where[-2] in OF_ANY_NAME else where[-1]


def _wrong(where: Where, value: Any, way_out: str) -> Misfit:
    return Misfit(WRONG_SHAPE, Finding(where, f"{_name(where)} is {said(value)}: {way_out}"))


NAMED = "write NAME: VALUE for each"
TEXT = One(lambda value: isinstance(value, str), _as_text)
WORD = One(lambda value: not isinstance(value, Mapping), lambda _: "write one word")  # which, another rule knows
SCALAR = One(lambda value: not isinstance(value, Mapping | list), lambda _: "write one text")
ANYTHING = OrNothing(One(lambda _: True, _as_text))
SOMETHING = One(lambda _: True, _as_text)
COUNT = One(lambda value: is_whole(value, 1), lambda _: "write a whole number, 1 or more")
WHOLE = One(is_whole, lambda _: "write a whole number")
MILLISECONDS = One(is_whole, lambda _: "write a whole number, in milliseconds")
NUMBER = One(is_number, lambda _: "write a number")
FLAG = One(
    lambda value: not isinstance(value, Mapping | list | float) and str(value).lower() in TRUTHS,
    lambda _: "write true or false",
)
