"""The Python packages that a conda file asks for, as far as a line says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

Version = tuple[int, ...]
# A line of a conda file, or a string of one that was written as JSON.
_LINE = re.compile(
    r"""^\s*(?:-\s+)*["']?(?P<line>(?P<name>[A-Za-z][\w.-]*)(?:\[[^\]\n]{0,80}\])?(?P<rest>[^\n"'#;]{0,120}))"""
)
_BOUND = re.compile(r"(==?|~=|>=|<=|<|>)\s*v?(\d+(?:\.\d+){0,4})")


@dataclass(frozen=True)
class Requirement:
    """One package: its line, and what the line says of versions."""

    name: str
    line: str
    pin: Version | None  # the one version that is asked for
    least: Version | None  # the oldest that is allowed
    is_bounded: bool  # whether something keeps the newest away


def requirements(conda: str) -> Iterator[Requirement]:
    """The packages of a conda file's text; what is no package's line is passed over."""
    for text in conda.replace('", "', '"\n"').splitlines():
        match = _LINE.match(text)
        if match and (match["rest"].strip() == "" or _BOUND.match(match["rest"].strip())):
            yield _requirement(match["name"], match["line"].strip(), match["rest"])


def python_version(conda: str) -> Version | None:
    """The version of Python that a conda file asks for."""
    return next((found.pin for found in requirements(conda) if found.name == "python"), None)


def _requirement(name: str, line: str, rest: str) -> Requirement:
    bounds = [(sign, tuple(int(part) for part in number.split("."))) for sign, number in _BOUND.findall(rest)]
    pin = next((number for sign, number in bounds if sign in ("=", "==")), None)
    least = pin or next((number for sign, number in bounds if sign in (">", ">=", "~=")), None)
    bounded = any(sign in ("=", "==", "<", "<=", "~=") for sign, _ in bounds)
    return Requirement(name.lower().replace("_", "-"), line, pin, least, bounded)
