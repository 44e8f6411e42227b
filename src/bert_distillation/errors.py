"""What a user can mend."""


class InputError(ValueError):
    """A mistake in what the user gave; its text is the one sentence that the command line shows."""
