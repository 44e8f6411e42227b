"""Whether a job that is sent again is the one that was submitted."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

Json = dict[str, Any]

# What makes a job; the SDK adds to the rest, and leaves out, when it sends a job back that it has read.
OF_A_COMMAND = ("command", "codeId", "environmentId", "environmentVariables", "distribution", "inputs")
OF_ANY = ("computeId", "experimentName", "limits", "resources")
FIELDS = (*OF_A_COMMAND, *OF_ANY, "jobs", "trial", "searchSpace", "objective", "samplingAlgorithm")
OF_A_SWEEP = ("trial", "search_space", "objective", "sampling_algorithm")
OF_A_NODE = ("componentId", "inputs", "environment_variables", "distribution", *OF_A_SWEEP)
# What says the same as nothing: some versions of the SDK write it where it was not given.
DEFAULTS = {"experimentName": "Default"}
RESOURCES = {"instanceCount": 1, "shmSize": "2g"}


def changed_field(submitted: Json, sent: Json, written: Collection[str] = ()) -> str:
    """The first field in which the job that is sent is another one, or nothing.

    written: its outputs that have a place by now, which it names when it is read, also those that it did not name.
    """
    for field in FIELDS:
        if field in sent and _said(field, sent[field]) != _said(field, submitted.get(field)):
            return field
    named = set(submitted.get("outputs") or {})
    if "outputs" in sent and set(sent["outputs"] or {}) not in (named, named.union(written)):
        return "outputs"
    return ""


def _said(field: str, value: Any) -> Any:
    if field == "jobs":
        value = {name: {key: node.get(key) for key in OF_A_NODE} for name, node in (value or {}).items() if node}
    if field == "resources":
        value = {key: part for key, part in (value or {}).items() if part != RESOURCES.get(key)}
    return _without_empty(value) or DEFAULTS.get(field)


def _without_empty(value: Any) -> Any:
    """A value without what says the same whether it is there or not."""
    if isinstance(value, dict):
        kept = {key: _without_empty(part) for key, part in value.items()}
        return {key: part for key, part in kept.items() if part not in (None, {}, [])} or None
    return [_without_empty(part) for part in value] if isinstance(value, list) else value
