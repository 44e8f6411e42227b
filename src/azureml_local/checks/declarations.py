"""Rules about what components declare: can their inputs and outputs be what is said of them?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from azureml_local.checks.field_shapes import TRUTHS
from azureml_local.checks.kinds import TYPED
from azureml_local.checks.scopes import LITERAL_TYPES, PATH_TYPES
from azureml_local.checks.sections import Section
from azureml_local.checks.table import ERROR, Finding, rule
from azureml_local.expressions import shown

NUMBERS = frozenset({"integer", "number"})
BOUNDS = ("min", "max")
OF_LITERALS = ("default", "enum", *BOUNDS)


@rule(Section, "bad-port", ERROR, "What a component says of an input fits the input's type.")
def bad_port(section: Section) -> Iterator[Finding]:
    """The SDK refuses each of them, most in words that tell neither the input nor the reason."""
    for name, port in section.mapping("inputs").items() if section.kind in TYPED else ():
        for field, message in _misfits(port) if isinstance(port, Mapping) else ():
            yield Finding(section.at("inputs", name, field), f'the input "{name}" {message}')


@rule(
    Section, "same-name", ERROR, "The names of a component's inputs differ in more than their case; so do its outputs."
)
def same_name(section: Section) -> Iterator[Finding]:
    """The SDK refuses them and takes outputs for inputs when it says so."""
    for field in ("inputs", "outputs") if section.kind in TYPED else ():
        known: dict[str, str] = {}
        for name in section.mapping(field):
            if (other := known.setdefault(name.lower(), name)) != name:
                message = f'"{name}" and "{other}" are one name to Azure, which does not look at case: rename one'
                yield Finding(section.at(field, name), message)


def _misfits(port: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields of a port that do not fit its type, and why."""
    kind = str(port.get("type"))
    if kind in PATH_TYPES:
        for field in OF_LITERALS:
            if port.get(field) is not None:
                yield field, f"is data ({kind}), and data have no {field}: take it away"
    elif kind in LITERAL_TYPES - NUMBERS:
        for field in BOUNDS:
            if port.get(field) is not None:
                yield field, f"is a {kind}, and only numbers have a {field}: take it away"
    elif kind in NUMBERS:
        yield from _unbounded(port)
    if kind in LITERAL_TYPES and port.get("enum") is not None:
        yield from _unlisted(port["enum"])
    if str(port.get("optional", "true")).lower() not in TRUTHS:
        yield "optional", f'is optional: true or false, got "{shown(str(port["optional"]))}"'


def _unbounded(port: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Bounds that are none."""
    ends = []
    for field in BOUNDS:
        try:
            ends.append(float(port[field]) if port.get(field) is not None else None)
        except (TypeError, ValueError, OverflowError):
            yield field, f'has a {field} that is a number, got "{shown(str(port[field]))}"'
            return
    least, most = ends
    if least is not None and most is not None and least > most:
        yield "min", f"has a min of {port['min']} above its max of {port['max']}: no value is between them"


def _unlisted(choices: Any) -> Iterator[tuple[str, str]]:
    """An enum that is no list of texts."""
    if not isinstance(choices, list):
        yield "enum", f'has an enum that is a list of texts, got "{shown(str(choices))}"'
    elif odd := [choice for choice in choices if not isinstance(choice, str)]:
        said = str(odd[0]).lower() if isinstance(odd[0], bool) else shown(str(odd[0]))
        yield "enum", f"has an enum of texts, and {said} is none: write it in quotes"
