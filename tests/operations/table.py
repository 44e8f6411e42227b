"""The table of operations, and how they are run: one after another, in the order in which they were written."""

from __future__ import annotations

import contextlib
import io
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operations.old_sdks import LIMITS

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

OK, FAILED, NOT_IN_SDK = "ok", "failed", "not in this SDK"


@dataclass
class Session:
    """The client, a folder to write in, names that no other run has, and what earlier operations made."""

    client: MLClient
    folder: Path
    suffix: str = field(default_factory=lambda: os.urandom(4).hex())
    made: dict[str, Any] = field(default_factory=dict)

    def name(self, word: str) -> str:
        """A name of this run's own; letters, digits and dashes."""
        return f"{word}-{self.suffix}"

    def write(self, name: str, text: str) -> Path:
        """A file with this text, at a path below the folder."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def make(self, name: str) -> Path:
        """An empty folder."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        return folder


@dataclass(frozen=True)
class Operation:
    """One thing that a user does; the check raises when it had not the effect that it should have."""

    name: str
    check: Callable[[Session], None]


@dataclass(frozen=True)
class Outcome:
    """What became of an operation."""

    name: str
    state: str
    said: str = ""  # the error, or what this SDK cannot do
    seconds: float = 0.0


OPERATIONS: list[Operation] = []


def operation(name: str) -> Callable[[Callable[[Session], None]], Callable[[Session], None]]:
    """Enter a check in the table under the name of what it does."""

    def enter(check: Callable[[Session], None]) -> Callable[[Session], None]:
        OPERATIONS.append(Operation(name, check))
        return check

    return enter


def run_all(session: Session, version: str) -> list[Outcome]:
    """Run every operation; one that fails does not keep the others from running."""
    return [_run(one, session, LIMITS.get(version, {}).get(one.name)) for one in OPERATIONS]


def outcome_lines(outcomes: list[Outcome], version: str) -> list[str]:
    """The table, with the errors below the rows, and the count."""
    width = max(len(outcome.name) for outcome in outcomes)
    lines = []
    for outcome in outcomes:
        lines.append(f"{outcome.name:{width}}  {outcome.state:15}  {outcome.seconds:5.1f} s")
        lines += [f"    {line}" for line in outcome.said.splitlines()]
    counts = {state: sum(outcome.state == state for outcome in outcomes) for state in (OK, FAILED, NOT_IN_SDK)}
    return [*lines, f"azure-ai-ml {version}: " + ", ".join(f"{count} {state}" for state, count in counts.items())]


def raises(kind: type[BaseException], action: Callable[[], object]) -> BaseException:
    """The error of this kind that the action raises."""
    try:
        action()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def _run(one: Operation, session: Session, limit: str | None) -> Outcome:
    """The outcome; an operation that the SDK is known not to have must fail, and with the known error."""
    started = time.monotonic()
    error = _error_of(one, session)
    seconds = time.monotonic() - started
    if limit is None:
        return Outcome(one.name, FAILED if error else OK, error, seconds)
    if limit in error:
        return Outcome(one.name, NOT_IN_SDK, limit, seconds)
    return Outcome(one.name, FAILED, f'expected an SDK that says "{limit}"\n{error}', seconds)


def _error_of(one: Operation, session: Session) -> str:
    noise = io.StringIO()
    try:
        with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
            one.check(session)
    except BaseException as error:  # some SDKs leave with SystemExit
        if isinstance(error, KeyboardInterrupt):
            raise
        return "".join(traceback.format_exception(error)[-3:]).strip()
    return ""
