"""Whether a job that is sent again is the one that was submitted."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

# What makes a job; the SDK adds to the rest, and leaves out, when it sends a job back that it has read.
OF_A_COMMAND = ("command", "codeId", "environmentId", "environmentVariables", "distribution", "inputs")
FIELDS = (*OF_A_COMMAND, "jobs", "trial", "searchSpace", "objective", "samplingAlgorithm")
OF_A_SWEEP = ("trial", "search_space", "objective", "sampling_algorithm")
OF_A_NODE = ("componentId", "inputs", "environment_variables", "distribution", *OF_A_SWEEP)


def changed_field(submitted: Json, sent: Json) -> str:
    """The first field in which the job that is sent is another one, or nothing."""
    for field in FIELDS:
        if field in sent and _said(field, sent[field]) != _said(field, submitted.get(field)):
            return field
    return ""


def _said(field: str, value: Any) -> Any:
    if field == "jobs":
        value = {name: {key: node.get(key) for key in OF_A_NODE} for name, node in (value or {}).items() if node}
    return _without_empty(value)


def _without_empty(value: Any) -> Any:
    """A value without what says the same whether it is there or not."""
    if isinstance(value, dict):
        kept = {key: _without_empty(part) for key, part in value.items()}
        return {key: part for key, part in kept.items() if part not in (None, {}, [])} or None
    return [_without_empty(part) for part in value] if isinstance(value, list) else value
