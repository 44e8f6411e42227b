"""Libraries that say less: no notices on new weights, and no progress bars where nobody watches."""

import sys

import datasets
import transformers


def make_quiet() -> None:
    """Silence transformers below errors and, where the error stream is not a terminal, all progress bars."""
    transformers.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()
        datasets.disable_progress_bars()
