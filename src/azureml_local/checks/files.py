"""A file, everything that it takes in, and where each problem is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azureml_local.checks import kinds
from azureml_local.checks.model import NOT_YAML, Model
from azureml_local.checks.scopes import Command, commands, graph_scopes, scopes
from azureml_local.checks.sections import Section, is_file, local_path
from azureml_local.checks.table import ERROR, Problem, Severity, Where, ask
from azureml_local.checks.yaml_tree import Document, UnreadableError, read
from azureml_local.spec import Component, Graph, Pipeline

TOUCHES = (b"azuremlschemas", b"azureml:", b"component:", b"conda_file", b"endpoint_name", b"$schema", b"command:")
SUFFIXES = frozenset({".yml", ".yaml"})


@dataclass(frozen=True, order=True)
class Located:
    """A problem with the file and the line where it is written; line 0 where the command line gives it."""

    file: Path
    line: int
    rule: str
    severity: Severity
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.severity}: {self.message} [{self.rule}]"


def check_file(path: Path, overrides: Iterable[Mapping[str, str]] = ()) -> list[Located] | None:
    """What is wrong with a file and with the components that it uses, in the order of the lines.

    overrides: what `--set` puts in place of the file's values, by dotted field.
    Returns None for a file that is not of a kind that is checked.
    """
    path = Path(os.path.normpath(path))
    try:
        document = read(path)
    except UnreadableError as error:
        return [Located(path, error.line, NOT_YAML, ERROR, f"the file {error}")]
    for override in overrides:
        for key, value in override.items():
            _set(document.value, key.split("."), value)
            document.overridden.add(tuple(key.split(".")))
    kind = kinds.kind_of(document.value)
    if kind is None or kind == kinds.OTHER_JOB:
        return None
    model = Model(document)
    found = [(document, one) for one in _of_value(model, document.value, kind)]
    for section in model.sections:
        found += [(section.document, one) for one in ask(section)]
    placed = {_located(model, *one) for one in [*model.problems, *found]}
    return sorted(placed)


def problems(pipeline: Pipeline) -> list[Problem]:
    """What is wrong with a job, whatever described it: a file or a submission."""
    return [one for scope in scopes(pipeline) for subject in (scope, *commands(scope)) for one in ask(subject)]


def azure_files(folder: Path) -> list[Path]:
    """The YAML files in a folder and below that may be Azure ML's; whether they are is seen when they are read."""
    found = []
    for parent, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith(".") and name != "node_modules")
        paths = [Path(parent, name) for name in sorted(files) if Path(name).suffix in SUFFIXES]
        found += [path for path in paths if _touches_azure(path)]
    return found


def _of_value(model: Model, value: Mapping[str, Any], kind: str) -> list[Problem]:
    if kind in (kinds.PIPELINE_JOB, kinds.COMMAND_JOB, kinds.SWEEP_JOB):
        return problems(model.pipeline(value, kind))
    if kind in (kinds.PIPELINE_COMPONENT, kinds.COMMAND_COMPONENT):
        component = model.component(model.root, (), value, kind)
        if isinstance(component, Component):
            return ask(Command((), component)) if component.command else []
        return _of_graph(component)
    model.sections.append(Section(model.root, (), value, kind))
    return []


def _of_graph(graph: Graph) -> list[Problem]:
    return [one for scope in graph_scopes(graph, ()) for subject in (scope, *commands(scope)) for one in ask(subject)]


def _located(model: Model, document: Document, found: Problem) -> Located:
    file, line = _place(model, document, found.where, found.excerpt)
    if key := document.override(found.where) if file == document.path else "":
        return Located(file, 0, found.rule, found.severity, f"--set {key}: {found.message}")
    return Located(file, line, found.rule, found.severity, found.message)


def _place(model: Model, document: Document, where: Where, excerpt: str) -> tuple[Path, int]:
    """Where a field is written: the way to it goes through the files of the components."""
    here: Where = ()
    for index, name in enumerate(where):
        value = _get(document.value, (*here, name))
        goes_on = bool(excerpt) if name == "conda_file" else name in ("component", "trial") and index + 1 < len(where)
        path = local_path(document, value) if goes_on else None
        if path and is_file(path):
            try:
                document, here = model.file(path), ()
                continue
            except UnreadableError:
                return document.path, document.line((*here, name))
        if name in ("component", "trial") and value is None:
            continue  # the node runs a command of its own
        here = (*here, name)
    return document.path, document.line(here, excerpt)


def _get(value: Any, where: Where) -> Any:
    for name in where:
        if isinstance(value, list):
            value = value[int(name)] if name.isdecimal() and int(name) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _set(value: Any, names: list[str], new: str) -> None:
    """Put a value into a mapping, with the mappings around it that are not there yet."""
    for name in names[:-1]:
        if not isinstance(value, dict):
            return
        inner = value.get(name)
        value[name] = {} if inner is None else inner
        value = value[name]
    if isinstance(value, dict):
        value[names[-1]] = new


def has_azure_schema(path: Path) -> bool:
    """Whether a file says that it is one of Azure ML's, of whatever kind."""
    return _has_any(path, TOUCHES[:1])


def _touches_azure(path: Path) -> bool:
    return _has_any(path, TOUCHES)


def _has_any(path: Path, words: Iterable[bytes]) -> bool:
    try:
        return is_file(path) and any(word in path.read_bytes() for word in words)  # a pipe would be waited for
    except OSError:
        return False
