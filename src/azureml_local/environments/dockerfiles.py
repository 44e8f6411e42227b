"""Dockerfiles, read as far as pip can do what they ask for: Python from FROM, and what `RUN pip install` installs.

Anything else that a RUN line does - system packages, conda, R, downloads - is refused with its line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from azureml_local.environments.requirements import LARGEST, LONGEST, Requirements, read_requirements, shown

DEEPEST = 5  # requirements files that refer to one another

_HARMLESS = re.compile(r"ARG|CMD|ENTRYPOINT|EXPOSE|HEALTHCHECK|LABEL|MAINTAINER|SHELL|STOPSIGNAL|USER|VOLUME|WORKDIR")
_PIP = re.compile(r"pip3?(\.\d+)?|(/[\w./-]+/)?pip3?")
_PYTHON = re.compile(r"(/[\w./-]+/)?python3?(\.\d+)?")
# Options of `pip install` that say how, and not what.
_MEANINGLESS = re.compile(
    r"-U|--upgrade|-q+|--quiet|-v+|--verbose|-y|--yes|--no-cache-dir|--no-cache|--user|--no-input|--progress-bar=\w+"
    r"|--disable-pip-version-check|--upgrade-strategy=[\w-]+|--(default-)?timeout=\d+|--retries=\d+|--no-warn-script-location"
    r"|--root-user-action=\w+|--break-system-packages|--force-reinstall|-I|--ignore-installed|--no-compile"
)
_TAKES_VALUE = re.compile(
    r"-[rceif]|--requirement|--constraint|--editable|--index-url|--extra-index-url|--find-links|--trusted-host"
    r"|--no-binary|--only-binary|--upgrade-strategy|--timeout|--default-timeout|--retries|--progress-bar"
)
QUOTING = frozenset("\"'\\")
# A line of a shell up to a # that begins a word, or to a quotation without an end.
_BEFORE_COMMENT = re.compile(r"""(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\\'"#]|(?<![\s;&|()])#)*""", re.DOTALL)
_PYTHON_IMAGE = re.compile(r"(?:.*/)?python(?::(?P<version>3\.\d+)?[\w.-]*)?")
_BARE_IMAGE = re.compile(
    r"(?:.*/)?azureml/(openmpi|intelmpi|minimal|base)[\w./-]*(:.*)?|(?:.*/)?(ubuntu|debian|scratch)(:.*)?"
)
_R_IMAGE = re.compile(r"(?:.*/)?(rocker/.*|r-base|r-ver|rstudio|tidyverse)(:.*)?")


def read_image(image: str, wanted: Requirements) -> bool:
    """Add what an image's name tells to what is wanted; whether that is all that is in it: Python, and no packages."""
    image = image.partition("@")[0]
    if _R_IMAGE.fullmatch(image):
        wanted.refusals.append(f"the image {shown(image)} is made for R, and the local workspace runs Python only")
    match = _PYTHON_IMAGE.fullmatch(image)
    if match and match["version"]:
        wanted.python = f"=={match['version']}.*"
    return bool(match or _BARE_IMAGE.fullmatch(image))


def read_dockerfile(context: Path, name: str, wanted: Requirements) -> None:
    """Add what a Dockerfile in the folder of its context asks for to what is wanted."""
    file = _inside(context, name)
    text = file.read_text(errors="replace") if file else ""
    if not text:
        wanted.refusals.append(
            f"its build context has no readable Dockerfile {shown(name)} of at most {LARGEST:,} bytes"
        )
    reader = _Reader(context, wanted)
    for number, instruction, value in _instructions(text):
        reader.read(f"its Dockerfile, line {number},", instruction, value)


class _Reader:
    def __init__(self, context: Path, wanted: Requirements) -> None:
        self._context = context
        self._wanted = wanted
        self._stages = 0
        self._copied: list[str] = []  # what the image gets from the context

    def read(self, where: str, instruction: str, value: str) -> None:
        match instruction:
            case "FROM":
                self._from(where, value)
            case "ENV":
                self._env(where, value)
            case "RUN":
                self._run(where, value)
            case "COPY" | "ADD":
                self._copied += [word for word in value.split() if not word.startswith("--")][:-1]
                self._wanted.notes.append(f"{where} is not followed: {shown(f'{instruction} {value}')}")
            case _ if _HARMLESS.fullmatch(instruction):
                pass
            case _:
                self._wanted.refusals.append(
                    f'{where} has the instruction "{shown(instruction)}", which is not understood'
                )

    def _from(self, where: str, value: str) -> None:
        self._stages += 1
        if self._stages > 1:
            self._wanted.refusals.append(f"{where} begins another stage, and the local workspace reads one")
        words = [word for word in value.split() if not word.startswith("--")]
        if words and not read_image(words[0], self._wanted):
            self._wanted.notes.append(f"what the image {shown(words[0])} holds is not known here")

    def _env(self, where: str, value: str) -> None:
        for name, text in _pairs(value):
            is_name = re.fullmatch(r"[A-Za-z_]\w*", name) and not name.endswith("PATH")
            if is_name and text is not None and "$" not in text:
                self._wanted.variables[name] = text
            else:
                self._wanted.notes.append(f"{where} is not followed: ENV {shown(name)}")

    def _run(self, where: str, value: str) -> None:
        for command in _commands(value):
            arguments = _pip_arguments(command)
            if arguments is None:
                what = shown(" ".join(command)) if command else shown(value)
                self._wanted.refusals.append(
                    f'{where} runs "{what}", and the local workspace does nothing but pip install'
                )
                return
            for line in _lines(arguments):
                read_requirements(line, where, self._wanted, lambda path: self._include(path, where, 1))

    def _include(self, path: str, where: str, depth: int, folder: str = "") -> None:
        """Read a requirements file of the context, which the image may have under another folder's name."""
        file = self._find(path, folder)
        if not file or depth > DEEPEST:
            self._wanted.refusals.append(f"{where} refers to {shown(path)}, which is not in the build context")
            return
        place = f"{file.parent.relative_to(self._context.resolve())}/"
        text, name = file.read_text(errors="replace"), shown(path)
        read_requirements(text, name, self._wanted, lambda other: self._include(other, name, depth + 1, place))

    def _find(self, path: str, folder: str) -> Path | None:
        name = PurePosixPath(path).name
        copied = [source for source in self._copied if PurePosixPath(source).name == name]
        found = (_inside(self._context, place) for place in (f"{folder}{path}", *copied, name))
        return next(filter(None, found), None)


def _inside(context: Path, path: str) -> Path | None:
    """A readable file of the context; None for one that is not there, is too large or is reached from outside."""
    try:
        file = Path(context, path.lstrip("/")).resolve()
        readable = file.is_relative_to(context.resolve()) and file.is_file() and file.stat().st_size <= LARGEST
    except (OSError, ValueError):  # a name that is too long, or has a zero byte
        return None
    return file if readable else None


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, instruction and value of each instruction; comments are left out, and joined lines are one."""
    parts: list[str] = []
    start = 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#") or not (stripped or parts):
            continue
        start = start if parts else number
        parts.append(stripped.removesuffix("\\").strip())
        if not stripped.endswith("\\") and stripped:
            instruction, _, value = " ".join(parts).partition(" ")
            yield start, instruction.upper(), value.strip()
            parts = []
    if parts:
        instruction, _, value = " ".join(parts).partition(" ")
        yield start, instruction.upper(), value.strip()


def _pairs(value: str) -> list[tuple[str, str | None]]:
    """Names and values of an ENV line, which no shell reads; None as the value of what is no pair."""
    name, *rest = value.split(maxsplit=1)
    if len(value) > LONGEST * 10:
        return [(name, None)]
    try:
        if rest and "=" not in name:  # the old form: ENV name value, all of it
            return [(name, rest[0] if QUOTING.isdisjoint(rest[0]) else " ".join(shlex.split(rest[0])))]
        pairs = [word.partition("=") for word in shlex.split(value)]
    except ValueError:  # a quotation without an end
        return [(value, None)]
    return [(name, text if equals else None) for name, equals, text in pairs]


def _words(text: str) -> list[str]:
    """The words of a shell's line, operators among them and its comment left out; none if they cannot be told apart."""
    end = _BEFORE_COMMENT.match(text).end() if len(text) <= LONGEST * 10 else 0  # type: ignore[union-attr]
    if text[end : end + 1] not in ("", "#"):
        return []
    lexer = shlex.shlex(text[:end], posix=True, punctuation_chars=True)
    lexer.commenters = ""  # it would end a word in its middle, as in URL#egg=NAME
    lexer.wordchars += "!@%^+,:[]{}$#"
    try:
        return list(lexer)
    except ValueError:
        return []


def _commands(value: str) -> list[list[str]]:
    """The commands of a RUN line; an empty one stands for what is no plain list of commands."""
    if value.startswith("["):
        return [[]]
    commands: list[list[str]] = [[]]
    words = _words(value)
    for word in words[:-1] if words[-1:] == [";"] else words:
        if word in ("&&", ";"):
            commands.append([])
        elif set(word) <= set("|&;()<>") or "$" in word or "`" in word:
            return [[]]
        else:
            commands[-1].append(word)
    return commands


def _pip_arguments(command: list[str]) -> list[str] | None:
    """What follows `pip install`; None for another command, and nothing for one that installs nothing."""
    if len(command) > 2 and _PYTHON.fullmatch(command[0]) and command[1] == "-m":
        command = command[2:]
    if len(command) < 2 or not _PIP.fullmatch(command[0]):
        return None
    if command[1] in ("cache", "list", "freeze", "check", "--version"):
        return []
    return command[2:] if command[1] == "install" else None


def _lines(arguments: list[str]) -> Iterator[str]:
    """The arguments of `pip install` as lines of a requirements file, options that say how left out."""
    left = iter(arguments)
    for argument in left:
        line = f"{argument}={next(left, '')}" if _TAKES_VALUE.fullmatch(argument) else argument
        if not _MEANINGLESS.fullmatch(line):
            yield line
