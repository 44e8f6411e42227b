"""Rules about the shape of fields: where the SDK wants a text, a whole number or a mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from azureml_local.checks.kinds import JOBS, NODE, PIPELINE_JOB, TYPED
from azureml_local.checks.sections import Section
from azureml_local.checks.table import ERROR, Finding, rule
from azureml_local.expressions import OPENS, shown

COUNTS = (("limits", "timeout"), ("resources", "instance_count"), ("distribution", "process_count_per_instance"))


@rule(Section, "wrong-shape", ERROR, "A field holds what it is for: a text, a whole number, or fields of its own.")
def wrong_shape(section: Section) -> Iterator[Finding]:
    """The SDK's own words for it tell neither the value nor what is wanted."""
    if section.kind not in JOBS | TYPED | {NODE}:
        return
    for field in ("command", "compute"):
        value = section.fields.get(field)
        if value is not None and not isinstance(value, str):
            yield Finding(section.at(field), f"{field} is {_said(value)}: write one text")
    environment = section.fields.get("environment")
    if environment is not None and not isinstance(environment, str | Mapping):
        message = f"environment is {_said(environment)}: write azureml:NAME@latest, or its image and conda_file"
        yield Finding(section.at("environment"), message)
    yield from _variables(section)
    for field, name in COUNTS:
        value = section.mapping(field).get(name)
        if value is not None and not _is_count(value):
            yield Finding(section.at(field, name), f"{name} is {_said(value)}: write a whole number, 1 or more")


@rule(Section, "empty-input", ERROR, "An input of a pipeline, and the path of any, is not empty.")
def empty_input(section: Section) -> Iterator[Finding]:
    """The SDK leaves an empty text of a pipeline out, and its nodes then read what is not there."""
    for name, value in section.mapping("inputs").items() if section.kind in JOBS | {NODE} else ():
        if value == "" and section.kind == PIPELINE_JOB:
            message = f'the input "{name}" is an empty text, which the SDK leaves out: give it a value'
            yield Finding(section.at("inputs", name), message)
        elif isinstance(value, Mapping) and value.get("path") == "":
            yield Finding(section.at("inputs", name, "path"), f'the path of the input "{name}" is empty: give it one')


def _variables(section: Section) -> Iterator[Finding]:
    variables = section.fields.get("environment_variables")
    if isinstance(variables, Mapping):
        for name, value in variables.items():
            if isinstance(value, Mapping | list):
                message = f"the variable is {_said(value)}: write one text"
                yield Finding(section.at("environment_variables", name), message)
    elif variables is not None and OPENS not in str(variables):
        message = f"environment_variables are {_said(variables)}: write NAME: VALUE for each"
        yield Finding(section.at("environment_variables"), message)


def _is_count(value: object) -> bool:
    if isinstance(value, str):
        return OPENS in value or (value.isascii() and value.isdecimal() and int(value) > 0)
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _said(value: object) -> str:
    """A value as a person says it."""
    match value:
        case bool():
            return str(value).lower()
        case Mapping():
            return "a mapping"
        case list():
            return "a list"
    return f'"{shown(str(value))}"'
