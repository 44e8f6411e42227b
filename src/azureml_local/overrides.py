"""`--set key=value`, with the keys and the meaning that `az ml job create --set` has."""

import difflib
from pathlib import Path
from typing import Any

import yaml

from azureml_local.errors import InputError

# Sections in which a key that the file does not have is a slip of the pen.
CLOSED_SECTIONS = ("inputs", "outputs", "jobs")
TOP_LEVEL = {
    *("$schema", "name", "type", "display_name", "description", "experiment_name", "tags", "properties"),
    *("inputs", "outputs", "jobs", "settings", "compute", "component", "identity", "services"),
    *("command", "code", "environment", "environment_variables", "distribution", "resources", "limits"),
    *("queue_settings", "job_tier", "priority"),
}


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises InputError for a file that is not there or is not one."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: not valid YAML: {getattr(error, 'problem', error)}.") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} does not describe a job: it is not a mapping of fields.")
    return document


def parse_overrides(settings: list[str], document: dict[str, Any]) -> list[dict[str, str]]:
    """`key=value` texts as the SDK's `params_override`.

    Raises InputError for a text without `=` and for a key that the document has no place for.
    """
    overrides = []
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise InputError(f"--set {setting}: expected key=value, as in --set inputs.seed=1.")
        _check(key, document)
        overrides.append({key: value})
    return overrides


def _check(key: str, document: dict[str, Any]) -> None:
    first, *rest = key.split(".")
    if first not in document and first not in TOP_LEVEL:
        raise InputError(f'--set {key}: a job has no "{first}"{_did_you_mean(first, TOP_LEVEL)}')
    section = document.get(first)
    if first in CLOSED_SECTIONS and rest and isinstance(section, dict) and rest[0] not in section:
        raise InputError(f'--set {key}: the file has no "{rest[0]}" under "{first}"{_did_you_mean(rest[0], section)}')
    level: Any = document
    for part in key.split(".")[:-1]:
        level = level.get(part)
        if level is None:
            return
        if not isinstance(level, dict):
            raise InputError(f'--set {key}: "{part}" is {level!r} in the file and has no fields to set.')


def _did_you_mean(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, [str(name) for name in known], n=1)
    return f'; did you mean "{close[0]}"?' if close else "."
