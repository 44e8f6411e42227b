"""What the user can mend, and how a run ends that was told to stop."""

import errno

PREEMPTED = 75  # EX_TEMPFAIL of sysexits.h: not done, but the same command will go on from here
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class InputError(ValueError):
    """A mistake in what the user gave; its text is the one sentence that the command line shows."""


class NotFiniteError(InputError):
    """A model whose answer is no number: it overflows in the precision that it is read in."""


class PreemptedError(BaseException):
    """The run was told to stop before it was done: one sentence that says where it will go on.

    As KeyboardInterrupt it is no Exception: whoever catches what a library may raise does not catch it.
    """


def describe(error: OSError) -> str:
    """One sentence for what the system refused."""
    reason = error.strerror or str(error)
    place = f"{error.filename}: " if error.filename else ""
    if error.errno in NO_SPACE:
        return f"{place}{reason}. Make room there, or give another folder, and start again."
    return f"{place}{reason}. Check the path, its permissions and the space left."
