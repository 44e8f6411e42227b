"""The one table of rules: each with its name, how much it weighs, and the question that it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, TypeVar

Where = tuple[str, ...]  # the way to a field: ("jobs", "distill", "inputs", "sequences")
MOST = 200  # problems of one rule in one place; past that a list helps nobody


class Severity(StrEnum):
    """Errors block, warnings are said."""

    ERROR = "error"  # Azure refuses it, or runs something other than what was written
    WARNING = "warning"  # it runs, and is most likely not what was meant


ERROR, WARNING = Severity.ERROR, Severity.WARNING


@dataclass(frozen=True)
class Finding:
    """What a rule says: the field, the sentence, and the text at fault, by which its line is found in a long field."""

    where: Where
    message: str
    excerpt: str = ""


@dataclass(frozen=True)
class Problem:
    """A finding with the rule that made it."""

    rule: str
    severity: Severity
    where: Where
    message: str
    excerpt: str = ""

    def __str__(self) -> str:
        """The sentence with its field, for those who have no file to point at."""
        return f"{'.'.join(self.where)}: {self.message}" if self.where else self.message


@dataclass(frozen=True)
class Rule:
    """One question about one kind of subject."""

    name: str
    severity: Severity
    sentence: str
    subjects: tuple[type, ...]  # what it looks at; none: it is asked while a file is read
    check: Callable[[Any], Iterator[Finding]] | None = None


RULES: dict[str, Rule] = {}

S = TypeVar("S")
Check = Callable[[S], Iterator[Finding]]


def rule(
    subject: type[S], name: str, severity: Severity, sentence: str, *, also: type | None = None
) -> Callable[[Check[S]], Check[S]]:
    """Put a function into the table: from a subject, or one that it knows also, to what is wrong with it."""

    def register(check: Check[S]) -> Check[S]:
        RULES[name] = Rule(name, severity, sentence, (subject, also) if also else (subject,), check)
        return check

    return register


def reading_rule(name: str, sentence: str) -> str:
    """Put an error into the table that is found while a file is read; returns its name."""
    RULES[name] = Rule(name, ERROR, sentence, ())
    return name


def problem(name: str, where: Where, message: str, excerpt: str = "") -> Problem:
    """What the rule of this name says."""
    return Problem(name, RULES[name].severity, where, message, excerpt)


def ask(subject: object) -> list[Problem]:
    """What all rules about this kind of subject say of it."""
    found = []
    for asked in RULES.values():
        if asked.check and type(subject) in asked.subjects:
            for finding in islice(asked.check(subject), MOST):
                found.append(problem(asked.name, finding.where, finding.message, finding.excerpt))
    return found
