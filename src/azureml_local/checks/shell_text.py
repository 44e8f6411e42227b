"""How a shell sees the expressions in a command: quoted or not, and in which program's words."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator

from azureml_local.expressions import Reference, references

SPLITS = re.compile(r"\s")
EXPANDS = re.compile(r"[$`\"'\\|&;<>()*?\[]|^[#~]|\{[^{}]*,[^{}]*\}")
ENDS = frozenset(";|&(\n")  # what begins the next command
LONGEST_PROGRAM = 200  # letters of a path at most
LONGEST_COMMAND = 100_000  # that a system passes to a program
EXPRESSION, OPTIONAL = re.compile(r"\$\{\{.*?\}\}", re.DOTALL), re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
STRUCTURED = re.compile(r"[()]|(?:&&|\|)\s*$|(?:^|[;&|\n])\s*(?:if|for|while|until|case|then|do|\{)\s")
HERE_DOCUMENT = "<<"  # its text is not words, and quotes in it are not quotes


def unquoted(command: str) -> Iterator[tuple[Reference, str]]:
    """Each expression that stands outside quotes, with the program whose argument it is."""
    if HERE_DOCUMENT in command:
        return
    found = {reference.start: reference for reference in references(command)}
    quote, begin, position = "", 0, 0
    while position < len(command):
        letter = command[position]
        if reference := found.get(position):
            if not quote:
                yield reference, _program(command[begin : min(position, begin + LONGEST_PROGRAM)])
            position = reference.end
            continue
        if letter == "\\" and quote != "'":
            position += 1
        elif letter in "\"'" and quote in ("", letter):
            quote = "" if quote else letter
        elif letter in ENDS and not quote:
            begin = position + 1
        position += 1


def is_harmed(value: str, program: str) -> bool:
    """Whether a shell makes something else of a text without quotes than one word with that text.

    `echo` puts its words together again, so to be split does it no harm.
    """
    return bool(EXPANDS.search(value)) or (program != "echo" and bool(SPLITS.search(value)))


def _program(words: str) -> str:
    return next(iter(words.split(None, 1)), "")


def syntax_error(command: str) -> str:
    """What bash says of a command that it cannot parse, its expressions filled in; "" of others, and without bash."""
    text = OPTIONAL.sub(r"\1", EXPRESSION.sub("x", command))
    if len(text) > LONGEST_COMMAND or not _is_suspicious(text) or not (bash := shutil.which("bash")):
        return ""
    try:
        parsed = subprocess.run([bash, "-n", "-c", text], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    first = parsed.stderr.partition("\n")[0].rpartition(": line ")[2].partition(": ")[2]
    return first if parsed.returncode else ""


def _is_suspicious(text: str) -> bool:
    """Whether it may be wrong: to ask bash of each of a thousand commands would take seconds."""
    try:
        shlex.split(text)
    except ValueError:
        return True
    return bool(STRUCTURED.search(text))
