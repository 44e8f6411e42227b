"""Rules about the shape of fields: where the SDK wants a text, a whole number or a mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from azureml_local.checks.kinds import DEPLOYMENT, ENDPOINT, JOBS, NODE, PIPELINE_JOB, TRIAL, TYPED
from azureml_local.checks.known_fields import INSIDE
from azureml_local.checks.sections import Section
from azureml_local.checks.table import ERROR, Finding, Where, rule
from azureml_local.expressions import OPENS, shown

RUNS = JOBS | TYPED | {NODE, TRIAL}
COUNTS = (("limits", "timeout"), ("resources", "instance_count"), ("distribution", "process_count_per_instance"))
TEXTS = ("command", "compute", "experiment_name", "display_name", "description")
SECTIONS = ("inputs", "outputs", "settings", "limits", "distribution", "resources", "identity", "tags", "services")
SERVING = ("request_settings", "liveness_probe", "readiness_probe")
SERVING_SECTIONS = (*SERVING, "code_configuration", "scale_settings", "data_collector", "traffic", "mirror_traffic")


@rule(Section, "wrong-shape", ERROR, "A field holds what it is for: a text, a whole number, or fields of its own.")
def wrong_shape(section: Section) -> Iterator[Finding]:
    """The SDK's own words for it tell neither the value nor what is wanted."""
    yield from _sections(section)
    if section.kind == DEPLOYMENT:
        yield from _serving_counts(section)
    if section.kind not in RUNS:
        return
    for field in TEXTS:
        yield from _text(section, (field,), section.fields.get(field))
    for name, value in section.mapping("tags").items():
        yield from _text(section, ("tags", name), value)
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


def _text(section: Section, where: Where, value: object) -> Iterator[Finding]:
    if value is not None and not isinstance(value, str):
        way_out = "write one text" if isinstance(value, Mapping | list) else "write it in quotes"
        yield Finding(section.at(*where), f"{where[-1]} is {_said(value)}: {way_out}")


def _sections(section: Section) -> Iterator[Finding]:
    """Where the SDK wants fields: nothing at all is no better than a list."""
    names = SECTIONS if section.kind in RUNS else SERVING_SECTIONS if section.kind in (DEPLOYMENT, ENDPOINT) else ()
    for name in names:
        value = section.fields.get(name)
        if name not in section.fields or isinstance(value, Mapping) or OPENS in str(value):
            continue
        if value is None:
            yield Finding(section.at(name), f"{name} is empty: write something under it, or take it away")
        else:
            yield Finding(section.at(name), f"{name} is {_said(value)}: write NAME: VALUE for each")


def _serving_counts(section: Section) -> Iterator[Finding]:
    counts = {(name, field) for _, name, fields in INSIDE if name in SERVING for field in fields} | {
        ("instance_count",)
    }
    for where in sorted(counts):
        held = section.mapping(where[0]) if len(where) > 1 else section.fields
        if where[-1] in held and not _is_count(held[where[-1]], least=0):
            unit = ", in milliseconds" if where[-1].endswith("_ms") else ""
            message = f"{where[-1]} is {_said(held[where[-1]])}: write a whole number{unit}"
            yield Finding(section.at(*where), message)


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


def _is_count(value: object, least: int = 1) -> bool:
    if isinstance(value, str):
        return OPENS in value or (value.isascii() and value.isdecimal() and len(value) < 20 and int(value) >= least)
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _said(value: object) -> str:
    """A value as a person says it."""
    match value:
        case bool():
            return str(value).lower()
        case Mapping():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "empty"
    return f'"{shown(str(value))}"'
