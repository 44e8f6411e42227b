"""`${{path}}` reads a value, `$[[...]]` is left out when an optional input inside it is not given."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping

from azureml_local.spec import SpecError

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_PATH = re.compile(r"[\w-]+(\.[\w-]+)*")


def references(text: str) -> list[str]:
    """The paths that a text reads, in order: `${{parent.inputs.x}}` gives `parent.inputs.x`.

    Raises SpecError for an expression without an end, and for one that is not a dotted path.
    """
    if "${{" in _EXPRESSION.sub("", text):
        raise SpecError(f'"{text}" opens an expression with ${{{{ and does not close it with }}}}')
    paths = _EXPRESSION.findall(text)
    for path in paths:
        if not _PATH.fullmatch(path):
            raise SpecError(f'"${{{{{path}}}}}" is not a dotted path such as ${{{{inputs.x}}}}')
    return paths


def whole_reference(text: str) -> str | None:
    """The path of a text that is one expression and nothing else; None for any other text."""
    match = _EXPRESSION.fullmatch(text.strip())
    return match[1] if match and references(text) == [match[1]] else None


def substitute(text: str, value_of: Callable[[str], str]) -> str:
    """The text with each expression replaced by the value of its path. What a value contains is not read again."""
    references(text)
    return _EXPRESSION.sub(lambda match: value_of(match[1]), text)


def command_line(command: str, values: Mapping[str, str | None]) -> str:
    """A component's command with its values in it, unquoted, as Azure puts them.

    values: `inputs.x` or `outputs.x` -> text; None for an optional input that is not given.
    Raises SpecError for a name that is not there, and for one not given outside `$[[...]]`.
    """

    def value_of(path: str) -> str:
        value = values[key_for(path, values)]
        if value is None:
            raise SpecError(f'the command reads "{path}", which is optional and not given: put it inside $[[...]]')
        return value

    def optional_part(match: re.Match[str]) -> str:
        given = all(values[key_for(path, values)] is not None for path in references(match[1]))
        return match[1] if given else ""

    return substitute(_OPTIONAL.sub(optional_part, command), value_of)


def key_for(path: str, known: Iterable[str]) -> str:
    """The name that a path means: itself, or what is before `.path`, which Azure lets one write after an input.

    Raises SpecError with the nearest known name.
    """
    names = list(known)
    for name in (path, path.removesuffix(".path")):
        if name in names:
            return name
    raise SpecError(f'"{path}" is not there{did_you_mean(path, names)}')


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error sentence: the nearest known name, or all of them where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; there are {', '.join(names)}" if names else "; there are none"
