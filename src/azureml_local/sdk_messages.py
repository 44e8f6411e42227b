"""What the SDK's exceptions say, brought down to what a person needs."""

import json
import re
from typing import Any

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
MISSING_FILE = re.compile(r"No such file or directory: [^\s'\]]+")
VALIDATION = re.compile(r"Validation (for \w+ )?failed:\s*(?=\{)")
QUOTED = re.compile(r"'([A-Z][^']+\.)'")  # the sentences in a mapping that Python printed
PYTHON_CODE = re.compile(r" from {2,}.*", re.DOTALL)  # the SDK's own line that failed
GENERAL = ("In order to specify", "Anonymous assets must")
DETAIL = "(x) "  # begins the lines that matter in the SDK's longest messages
UNREGISTERED = re.compile(r"Asset \S+ does not exist in workspace \S+\.$")
REGISTER = "Register it first: `azureml-local run FILE --register OUTPUT=NAME` does so with an output of a job."
ADVICE = ("If you are trying to", "Visit this link", "The easiest way", "Resolutions:", "Additional Resources:")


def sentence(error: Exception) -> str:
    """What an exception of the SDK says, without codes, colours, advertisements and repetition."""
    reply = getattr(error, "error", None)
    text = getattr(reply, "message", None) or getattr(error, "message", None) or str(error)
    text = COLOURS.sub("", str(text))
    said = _findings(text) or _essence(text)
    return f"{said} {REGISTER}" if UNREGISTERED.search(said) else said


def _findings(text: str) -> str:
    """The findings of a validation, JSON in the text or all of it: `field: message`, each once, all on one line."""
    start = VALIDATION.search(text)
    try:
        document, _ = json.JSONDecoder().raw_decode(text, start.end() if start else 0)
        if isinstance(errors := document.get("errors"), list):
            found = [_finding(error["path"].removeprefix("*"), error["message"]) for error in errors]
        elif not start:
            return ""
        else:
            found = [_finding(path, *messages) for path, messages in _by_field(document).items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return "; ".join(dict.fromkeys(found))


def _finding(path: str, *messages: str) -> str:
    causes = dict.fromkeys(_cause(message) for message in messages)
    # What the SDK says of every value that it cannot place matters only where it says nothing else.
    kept = [cause for cause in causes if cause and not cause.startswith(GENERAL)] or causes
    said = " ".join(" ".join(kept).split())
    said = said.rstrip(".")
    return f"{path}: {said}" if path else said


def _cause(message: str) -> str:
    """The last alternative that was tried is the one that was meant, where a file is missing."""
    if missing := MISSING_FILE.search(message):
        return missing.group()
    if inner := _findings(message):  # a validation within a validation
        return inner
    first, brace, rest = message.partition("; {")
    alternatives = dict.fromkeys(first.split("; "))
    if brace:
        alternatives |= dict.fromkeys(QUOTED.findall(rest))
    return PYTHON_CODE.sub("", " ".join(alternatives))


def _by_field(document: Any, path: str = "") -> dict[str, list[str]]:
    """The messages in nested mappings and lists, below the dotted path of the field that they belong to."""
    if isinstance(document, str):
        return {path: [document]}
    found: dict[str, list[str]] = {}
    named = document.items() if isinstance(document, dict) else [("_schema", item) for item in document]
    for name, item in named:
        below = path if name == "_schema" else f"{path}.{name}".lstrip(".")
        for field, messages in _by_field(item, below).items():
            found.setdefault(field, []).extend(messages)
    return found


def _essence(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    details = [line.removeprefix(DETAIL) for line in lines if line.startswith(DETAIL)]
    kept: list[str] = []
    for line in lines:
        if line.startswith(ADVICE):
            break
        kept.append(line)
    return "\n".join(details or kept)
