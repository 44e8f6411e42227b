"""How a benchmark ends on what its user can mend: with one sentence, as the steps do."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bert_distillation.errors import InputError, describe


@contextmanager
def plain_errors() -> Iterator[None]:
    """Around a `main`: a mistake in what was given ends the process with its sentence and status 1."""
    try:
        yield
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {describe(error)}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # whose own error stream has said why
