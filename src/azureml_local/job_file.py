"""YAML files as a user wrote them, checked far enough that what reads them next need not guess."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from azureml_local.checks import ERROR, check_file
from azureml_local.errors import InputError

NO_JOB = re.compile(
    r"/(\w*(?:component|compute|environment|deployment|endpoint|model|data))\.schema\.json", re.IGNORECASE
)


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
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply.") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} is not a mapping of fields, it is {_shown(document)}.")
    return document


def read_job(path: Path) -> dict[str, Any]:
    """The mapping in a job file. Raises InputError also where a pipeline's nodes are no nodes."""
    document = read_yaml(path)
    if other := NO_JOB.search(str(document.get("$schema", ""))):
        raise InputError(f"{path} is not a job: its $schema is that of a {other[1]}. Run a pipeline that uses it.")
    for section in ("inputs", "outputs", "jobs"):
        if section in document and not isinstance(document[section], dict):
            raise InputError(f'{path}: "{section}" is not a mapping of names, it is {_shown(document[section])}.')
    for name, node in document.get("jobs", {}).items():
        if not isinstance(node, dict):
            raise InputError(f'{path}: "jobs.{name}" is not a mapping of fields, it is {_shown(node)}.')
    return document


def refuse_errors(file: Path, overrides: Sequence[Mapping[str, str]], what: str) -> None:
    """Say what is wrong with the file; errors are refused before anything is started. what: run or deployed."""
    found = check_file(file, overrides) or []
    for problem in found:
        print(problem, file=sys.stderr)
    if any(problem.severity == ERROR for problem in found):
        raise InputError(f"{file} was not {what}: see the errors above.")


def _shown(value: Any) -> str:
    return "empty" if value is None else repr(value)[:60]
