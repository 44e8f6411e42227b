"""`--set key=value`, with the keys and the meaning that `az ml job create --set` has."""

from pathlib import Path
from typing import Any

from azureml_local.checks.scopes import nearest
from azureml_local.errors import InputError
from azureml_local.expressions import did_you_mean
from azureml_local.job_file import read_yaml

# Sections in which a key that the file does not have is a slip of the pen.
CLOSED_SECTIONS = ("inputs", "outputs", "jobs")
TOP_LEVEL = {
    *("$schema", "name", "type", "display_name", "description", "experiment_name", "tags", "properties"),
    *("inputs", "outputs", "jobs", "settings", "compute", "component", "identity", "services"),
    *("command", "code", "environment", "environment_variables", "distribution", "resources", "limits"),
    *("queue_settings", "job_tier", "priority"),
}
NODE = {
    *("type", "component", "inputs", "outputs", "name", "display_name", "description", "tags", "properties", "comment"),
    *("compute", "environment", "environment_variables", "distribution", "resources", "limits", "identity", "services"),
    *("command", "code", "experiment_name", "queue_settings", "settings", "jobs"),
}
KNOWN_NODES = ("command", "pipeline")  # the other types have fields of their own, which the SDK checks


def parse_overrides(settings: list[str], document: dict[str, Any], folder: Path) -> list[dict[str, str]]:
    """`key=value` texts as the SDK's `params_override`.

    folder: where the job file lies; the paths of its components are relative to it.
    Raises InputError for a text without `=` and for a key that the document has no place for.
    """
    overrides = []
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise InputError(f"--set {setting}: expected key=value, as in --set inputs.seed=1.")
        _check(key, document)
        _check_node(key, document, folder)
        overrides.append({key: value})
    return overrides


def _check(key: str, document: dict[str, Any]) -> None:
    first, *rest = key.split(".")
    if first not in document and first not in TOP_LEVEL:
        raise _mistake(key, f'a job has no "{first}"{nearest(first, TOP_LEVEL)}')
    section = document.get(first)
    if first in CLOSED_SECTIONS and rest and isinstance(section, dict) and rest[0] not in section:
        raise _mistake(key, f'the file has no "{rest[0]}" under "{first}"{did_you_mean(rest[0], map(str, section))}')
    if first == "jobs" and first not in document and rest:
        raise _mistake(key, "the file is not a pipeline and has no jobs")
    level: Any = document
    for part in key.split(".")[:-1]:
        level = level.get(part)
        if level is None:
            return
        if not isinstance(level, dict):
            raise _mistake(key, f'"{part}" is {level!r} in the file and has no fields to set')


def _check_node(key: str, document: dict[str, Any], folder: Path) -> None:
    """Refuse a field that no node has, and an input that the node's component has not: the SDK ignores both."""
    match key.split("."):
        case ["jobs", name, field, *rest] if document["jobs"][name].get("type", "command") in KNOWN_NODES:
            node = document["jobs"][name]
        case _:
            return
    if field not in NODE and field not in node:
        raise _mistake(key, f'a node has no "{field}"{nearest(field, NODE)}')
    known = _component_inputs(node, folder) if field == "inputs" and rest else None
    if known is not None and rest[0] not in known:
        names = did_you_mean(rest[0], map(str, known))
        raise _mistake(key, f'the component of "{name}" has no input "{rest[0]}"{names}')


def _component_inputs(node: dict[str, Any], folder: Path) -> dict[str, Any] | None:
    """The inputs of a node's component; None where it is not a file beside the job, but a registered one."""
    component = node.get("component", node)
    if isinstance(component, str):
        path = folder / component.removeprefix("file:")
        component = read_yaml(path) if path.is_file() else None
    return component.get("inputs") or {} if isinstance(component, dict) else None


def _mistake(key: str, what: str) -> InputError:
    return InputError(f"--set {key}: {what}{'' if what.endswith('?') else '.'}")
