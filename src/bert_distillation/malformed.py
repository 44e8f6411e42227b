"""Rows that cannot be read: left out and told while they are few, the end of the step where they are many."""

import logging
from dataclasses import dataclass, field

from bert_distillation.errors import InputError

MALFORMED_SHARE = 0.01  # GLUE's own QQP has a handful of broken rows in 364,000; more than this is a broken file
TOLD = 5  # rows that are named in the log

logger = logging.getLogger(__name__)


class MalformedRow(Exception):
    """A row that cannot be read; its text says why."""


@dataclass
class MalformedRows:
    """The rows of a source that could not be read."""

    source: str
    reasons: list[str] = field(default_factory=list)
    lines: int = 0  # that they take; one whose quote is not closed takes many rows with it

    def __len__(self) -> int:
        """How many there are, counted as the lines they take."""
        return self.lines

    def add(self, place: str, reason: object, lines: int = 1) -> None:
        """Note a row. place: its file and line."""
        self.reasons.append(f"{place}: {reason}")
        self.lines += lines

    def tell(self, good: int) -> None:
        """Name the first of them in the log; InputError if they are more than `MALFORMED_SHARE` of all rows."""
        total = len(self) + good
        if len(self) > MALFORMED_SHARE * total:
            raise InputError(
                f"{self.reasons[0]}; {len(self)} of {total} rows cannot be read, "
                f"more than {MALFORMED_SHARE:.0%}. Mend the file."
            )
        if total == 0:
            raise InputError(f"{self.source} holds no rows; give a file with some.")
        for reason in self.reasons[:TOLD]:
            logger.warning("%s; the row is left out", reason)
        if self.reasons:
            logger.warning("%s: %d of %d rows left out", self.source, len(self), total)
