"""What the SDK's exceptions say, brought down to what a person needs."""

import json
import re

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
MISSING_FILE = re.compile(r"No such file or directory: [^\s'\]]+")
DETAIL = "(x) "  # begins the lines that matter in the SDK's longest messages
ADVICE = ("If you are trying to", "Visit this link", "The easiest way", "Resolutions:", "Additional Resources:")


def sentence(error: Exception) -> str:
    """What an exception of the SDK says, without codes, colours, advertisements and repetition."""
    reply = getattr(error, "error", None)
    text = getattr(reply, "message", None) or getattr(error, "message", None) or str(error)
    text = COLOURS.sub("", str(text))
    return _findings(text) or _essence(text)


def _findings(text: str) -> str:
    """The findings of a validation, which are JSON somewhere in the text: `path: message`, one a line."""
    start = text.find("{")
    try:
        document, _ = json.JSONDecoder().raw_decode(text[start:] if start >= 0 else "")
        return "\n".join(f"{finding['path']}: {_cause(finding['message'])}" for finding in document["errors"])
    except (ValueError, KeyError, TypeError):
        return ""


def _cause(message: str) -> str:
    """The last alternative that was tried is the one that was meant, where a file is missing."""
    missing = MISSING_FILE.search(message)
    return missing.group() if missing else message


def _essence(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    details = [line.removeprefix(DETAIL) for line in lines if line.startswith(DETAIL)]
    kept: list[str] = []
    for line in lines:
        if line.startswith(ADVICE):
            break
        kept.append(line)
    return "\n".join(details or kept)
