"""Mistakes that a person can correct."""


class InputError(Exception):
    """One sentence for the user: what is wrong, the value, the way out. The command line shows it without a stack."""
