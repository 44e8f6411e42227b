"""What was found, for people and for editors."""

from __future__ import annotations

import json
from collections.abc import Sequence

from azureml_local.checks.files import Located
from azureml_local.checks.table import ERROR


def as_text(found: Sequence[Located], checked: int) -> str:
    """A line a problem, as compilers print them, and a line that counts them."""
    errors = sum(one.severity == ERROR for one in found)
    counts = f"{_counted(errors, 'error')}, {_counted(len(found) - errors, 'warning')} in {_counted(checked, 'file')}"
    return "\n".join([*map(str, found), counts])


def as_json(found: Sequence[Located]) -> str:
    """A list of objects with file, line, severity, rule and message."""
    rows = [
        {"file": str(one.file), "line": one.line, "severity": one.severity, "rule": one.rule, "message": one.message}
        for one in found
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
