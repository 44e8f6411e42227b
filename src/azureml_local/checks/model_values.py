"""Parts of the model of a job, from the values in a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from azureml_local.checks.sections import is_file, local_path
from azureml_local.checks.yaml_tree import MOST_BYTES, Document
from azureml_local.spec import Data, Distribution, Environment, Port, Value


def given(raw: Any) -> Value | None:
    """What an input is given: a literal's text, an expression, or data; None where it is given nothing."""
    if not isinstance(raw, Mapping):
        return None if raw is None else literal(raw)
    path = raw.get("path")
    if path is None:
        value = raw.get("value", raw.get("default"))
        return None if value is None else literal(value)
    return str(path) if "${{" in str(path) else Data(path=Path(str(path).replace("\0", "")))


def literal(raw: Any) -> str:
    """A literal's text as the SDK sends it: Python's word for it."""
    return raw if isinstance(raw, str) else str(raw)


def ports(declared: Any) -> dict[str, Port]:
    """The inputs or outputs that a component declares."""
    if not isinstance(declared, Mapping):
        return {}
    return {name: _port(name, raw if isinstance(raw, Mapping) else {}) for name, raw in declared.items()}


def distribution_of(raw: Any) -> Distribution | None:
    """A distribution, where it starts processes: only pytorch's and mpi's count them."""
    if not isinstance(raw, Mapping):
        return None
    count = raw.get("process_count_per_instance", 1)
    return Distribution(type=str(raw.get("type", "")).lower(), process_count=literal(count))


def environment_of(document: Document, raw: Any) -> Environment:
    """An environment with the text of its conda file, where that is a file that can be read."""
    if isinstance(raw, str):
        return Environment(name=raw)
    if not isinstance(raw, Mapping):
        return Environment()
    conda = raw.get("conda_file")
    path = local_path(document, conda)
    text = yaml.safe_dump(conda) if isinstance(conda, Mapping) else _text(path) if path else ""
    return Environment(image=str(raw.get("image") or ""), conda=text)


def search_space(raw: Mapping[str, Any]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """A sweep's inputs, each with its kind of distribution and its choices."""
    return {name: _choice(value if isinstance(value, Mapping) else {}) for name, value in raw.items()}


def _choice(raw: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    values = raw.get("values")
    return str(raw.get("type", "")), _plain(values) if isinstance(values, list) else ()


def _plain(values: list[Any]) -> tuple[str, ...]:
    """The choices that are values; another may be a search space of its own."""
    return tuple(literal(value) for value in values if not isinstance(value, Mapping))


def _port(name: str, raw: Mapping[str, Any]) -> Port:
    choices = raw.get("enum")
    return Port(
        name=name,
        type=str(raw.get("type", "")),
        optional=str(raw.get("optional", "")).lower() == "true",
        default=_text_or_none(raw.get("default")),
        minimum=_text_or_none(raw.get("min")),
        maximum=_text_or_none(raw.get("max")),
        choices=tuple(literal(choice) for choice in choices) if isinstance(choices, list) else (),
    )


def _text_or_none(raw: Any) -> str | None:
    return None if raw is None else literal(raw)


def _text(path: Path) -> str:
    try:
        if not is_file(path) or path.stat().st_size > MOST_BYTES:
            return ""
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
