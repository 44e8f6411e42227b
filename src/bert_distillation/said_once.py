"""Libraries that say a thing once: a hub that is away is told of in two lines, not in two a retry and file."""

import logging
import re

REQUEST = re.compile(r" thrown while requesting .*", re.DOTALL)
NUMBERS = re.compile(r"\d+")


class SaidOnce(logging.Filter):
    """Lets through what has not been said before, whatever address and numbers are in it."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this is new; what is no warning is let through."""
        if record.levelno < logging.WARNING:
            return True
        what = NUMBERS.sub("", REQUEST.sub("", record.getMessage()))
        is_new = what not in self._said
        self._said.add(what)
        return is_new


def say_retries_once() -> None:
    """Let the hub's library tell once in this process that the hub is away, and that it tries again."""
    # Its import has given this logger the handler that all its modules write to.
    for handler in logging.getLogger("huggingface_hub").handlers:
        if not any(isinstance(one, SaidOnce) for one in handler.filters):
            handler.addFilter(SaidOnce())
