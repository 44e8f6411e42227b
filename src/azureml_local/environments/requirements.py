"""What a job's environment asks for, and pip's lines of it: only what is understood here is ever handed to pip."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

LARGEST = 256_000  # characters of a file that is read
LONGEST = 2_000  # of a line
SHOWN = 100  # characters of a value in a sentence

_WITH_VALUE = {
    "-i": "--index-url",
    "-f": "--find-links",
    **{name: name for name in ("--index-url", "--extra-index-url", "--find-links", "--trusted-host")},
    **{name: name for name in ("--no-binary", "--only-binary")},
}
_FLAGS = {"--pre", "--prefer-binary", "--no-index", "--require-hashes"}
_INCLUDES = {"-r", "--requirement"}
_COMMENT = re.compile(r"(^|\s)#.*")
_OPTION = re.compile(r"(--?[A-Za-z][\w-]*)(?:(?:=|\s+)(\S+))?")
_HASH = re.compile(r"\s+--hash[=\s]\s*")
_ADDRESS = re.compile(r"(git\+|hg\+|svn\+|bzr\+)?(https?|ssh)://\S+")
_SECRET = re.compile(r"(?<=//)[^/@\s]+(?=@)")

Include = Callable[[str], None]


@dataclass(kw_only=True)
class Requirements:
    """What an environment asks for, collected while its files are read."""

    python: str = ""  # a version specifier, such as ==3.8.*; empty for any
    packages: list[str] = field(default_factory=list)  # as pip reads them, their names normalised
    options: list[str] = field(default_factory=list)  # of pip, in the order in which they were given
    variables: dict[str, str] = field(default_factory=dict)  # environment variables of its jobs
    refusals: list[str] = field(default_factory=list)  # what cannot be had on this machine
    notes: list[str] = field(default_factory=list)  # what differs from Azure and keeps nothing from running
    unknown: str = ""  # why nothing tells what it holds; empty where something does

    def file(self) -> str:
        """The requirements file for pip. Equal for equal requirements: the order of packages does not matter to it."""
        options = list(dict.fromkeys(self.options))
        return "".join(f"{line}\n" for line in [*options, *sorted(set(self.packages))])


def read_requirements(text: str, where: str, wanted: Requirements, include: Include | None = None) -> None:
    """Add the lines of a requirements file, or one line of it, to what is wanted.

    where: how sentences name the file. include: reads the file that a line `-r <path>` names.
    """
    if len(text) > LARGEST:
        wanted.refusals.append(f"{where} has {len(text):,} characters; at most {LARGEST:,} are read: make it shorter")
        return
    for line in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        if line := _COMMENT.sub("", line).strip():
            _read_line(line, where, wanted, include)


def shown(text: str) -> str:
    """A value as a sentence quotes it: short, without control characters, and without a secret in an address."""
    text = _SECRET.sub("***", "".join(letter if letter.isprintable() else "?" for letter in text))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _read_line(line: str, where: str, wanted: Requirements, include: Include | None) -> None:
    if len(line) > LONGEST:
        wanted.refusals.append(f"{where} has a line of {len(line):,} characters; at most {LONGEST:,} are read")
    elif line.startswith("-"):
        _read_option(line, where, wanted, include)
    elif _ADDRESS.fullmatch(line):
        wanted.packages.append(line)
    else:
        _read_requirement(line, where, wanted)


def _read_option(line: str, where: str, wanted: Requirements, include: Include | None) -> None:
    match = _OPTION.fullmatch(line)
    name, value = match.groups() if match else ("", None)
    if value and name in _INCLUDES and include:
        include(value)
    elif value and name in _INCLUDES:
        wanted.refusals.append(
            f"{where} refers to the file {shown(value)}, which does not come with it: list its lines"
        )
    elif value and name in _WITH_VALUE and (name not in ("-f", "--find-links") or "://" in value):
        wanted.options.append(f"{_WITH_VALUE[name]} {value}")
    elif value is None and name in _FLAGS:
        wanted.options.append(name)
    else:
        wanted.refusals.append(f'{where} has pip\'s option "{shown(line)}", which the local workspace does not pass on')


def _read_requirement(line: str, where: str, wanted: Requirements) -> None:
    text, *hashes = _HASH.split(line)
    try:
        requirement = Requirement(text)
        if requirement.marker:
            requirement.marker.evaluate({"extra": ""})  # pip ends with a stack where it compares what has no order
    except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName):
        what = "a path, and files do not come with it" if _is_path(text) else "no requirement that pip understands"
        wanted.refusals.append(f'{where} has "{shown(line)}", which is {what}')
        return
    if requirement.url and not _ADDRESS.fullmatch(requirement.url):
        wanted.refusals.append(f'{where} has "{shown(line)}", which is a path, and files do not come with it')
    elif any(not re.fullmatch(r"\w+:[0-9a-fA-F]+", digest) for digest in hashes):
        wanted.refusals.append(f'{where} has "{shown(line)}", whose hash is not one')
    else:
        requirement.name = canonicalize_name(requirement.name)
        wanted.packages.append(" ".join([str(requirement), *(f"--hash={digest}" for digest in sorted(hashes))]))


def _is_path(text: str) -> bool:
    name = text.partition(" --")[0]  # without options
    return "/" in name or name.startswith(".") or name.endswith((".whl", ".zip", ".gz"))
