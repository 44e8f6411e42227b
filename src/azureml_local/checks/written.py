"""Rules about what is written: names, types and words, before anything is looked up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from azureml_local.arm_ids import NAME, NAME_RULE
from azureml_local.checks import kinds
from azureml_local.checks.kinds import JOBS, TYPED, WITH_INPUTS, WITH_OUTPUTS
from azureml_local.checks.known_fields import DECLARED
from azureml_local.checks.model_values import ports
from azureml_local.checks.scopes import LITERAL_TYPES, PATH_TYPES, nearest
from azureml_local.checks.sections import Section, is_to_be_filled_in
from azureml_local.checks.table import ERROR, WARNING, Finding, Where, rule
from azureml_local.expressions import shown

PORT_TYPES = sorted(LITERAL_TYPES | PATH_TYPES - {"path"})
COMPONENT_NAME = re.compile(r"[a-z][a-z0-9_]*")
NODE_NAME = re.compile(r"[a-z_][a-z0-9_]*")
PORT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
BOOLEAN_WORDS = frozenset({"yes", "no", "on", "off"})
SERVING_NAME_RULE = "3 to 32 letters, digits and single dashes, a letter first"
SERVING_NAME = re.compile(r"(?=.{3,32}\Z)[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")


@rule(Section, "duplicate-key", ERROR, "A field is written once.")
def duplicate_key(section: Section) -> Iterator[Finding]:
    """Of two, YAML keeps the last without a word."""
    if not section.where:
        for where in section.document.duplicates:
            yield Finding(where, f'"{where[-1]}" is written twice, and only the last one counts: take one away')


@rule(Section, "job-name", ERROR, "A job has a name that Azure takes.")
def job_name(section: Section) -> Iterator[Finding]:
    """The service refuses it when all is uploaded; a job without a name is given one."""
    name = section.fields.get("name") if section.kind in JOBS else None
    if isinstance(name, str) and not (JOB_NAME.fullmatch(name) or is_to_be_filled_in(name) or "${{" in name):
        message = f'"{shown(name)}" cannot be the name of a job'
        yield Finding(section.at("name"), f'{message}: it is up to 255 letters, digits, "-" and "_", no sign first')


@rule(Section, "wrong-type", ERROR, "A job, a node, an input and an output are of a type that there is.")
def wrong_type(section: Section) -> Iterator[Finding]:
    """A file without a type is a command to the SDK, whatever else is in it."""
    kind = section.fields.get("type")
    known = kinds.NODE_TYPES if section.kind in (kinds.NODE, kinds.OTHER_NODE) else kinds.KNOWN_TYPES
    if section.kind in (kinds.PIPELINE_JOB, kinds.PIPELINE_COMPONENT, kinds.SWEEP_JOB) and kind is None:
        wanted = section.kind.partition(" ")[0]
        if "component" not in section.where:
            yield Finding(section.at(), f"the {section.kind} has no type; write type: {wanted}")
    elif section.kind in WITH_INPUTS | {kinds.OTHER_NODE} and kind is not None and _as_read(section, kind) not in known:
        message = f'"{shown(str(kind))}" is not a type of a job or a component{nearest(str(kind), known)}'
        yield Finding(section.at("type"), message)
    if section.kind in WITH_INPUTS:
        yield from _port_types(section)


@rule(Section, "no-nodes", ERROR, "A pipeline has nodes.")
def no_nodes(section: Section) -> Iterator[Finding]:
    """A pipeline job may name a pipeline component in place of them."""
    is_pipeline = section.kind in (kinds.PIPELINE_JOB, kinds.PIPELINE_COMPONENT)
    if is_pipeline and not section.mapping("jobs") and "component" not in section.fields:
        yield Finding(section.at("jobs"), f'the {section.kind} has no nodes: write them under "jobs"')


@rule(
    Section, "bad-name", ERROR, "Nodes, inputs, outputs, assets, endpoints and deployments have names that Azure takes."
)
def bad_name(section: Section) -> Iterator[Finding]:
    """What is still to be filled in, <endpoint>, is no name yet."""
    if section.kind in (kinds.NODE, kinds.OTHER_NODE) and not NODE_NAME.fullmatch(section.where[-1]):
        message = f'a node cannot be called "{shown(section.where[-1])}"'
        yield Finding(section.at(), f"{message}: lower-case letters, digits and underscores, and no digit first")
    for field in ("inputs", "outputs") if section.kind in WITH_INPUTS else ():
        for name in section.mapping(field):
            if not PORT_NAME.fullmatch(name):
                message = f'an {field[:-1]} cannot be called "{shown(name)}": letters, digits and underscores'
                yield Finding(section.at(field, name), f"{message}, and no digit first")
    called = section.fields.get("name")
    if section.kind in (kinds.ENDPOINT, kinds.DEPLOYMENT) and isinstance(called, str):
        is_fine = SERVING_NAME.fullmatch(called) or is_to_be_filled_in(called)
        if not is_fine:
            message = f'{kinds.article(section.kind)} cannot be called "{shown(called)}"'
            yield Finding(section.at("name"), f"{message}: {SERVING_NAME_RULE}")
    for name, output in section.mapping("outputs").items() if section.kind in WITH_OUTPUTS else ():
        if isinstance(output, Mapping) and output.get("version") and not output.get("name"):
            message = f'the output "{name}" has a version and no name: write the name that it is registered under'
            yield Finding(section.at("outputs", name, "version"), message)
    yield from _asset_names(section)


@rule(Section, "component-name", WARNING, "A component has a name under which it can be registered.")
def component_name(section: Section) -> Iterator[Finding]:
    """A pipeline takes the file under any name, for there it is anonymous; to register it is refused."""
    name = section.fields.get("name")
    if section.kind in TYPED and isinstance(name, str) and not COMPONENT_NAME.fullmatch(name):
        message = f'a component called "{shown(name)}" cannot be registered'
        yield Finding(section.at("name"), f"{message}: lower-case letters, digits and underscores, a letter first")


@rule(
    Section, "declared-job-input", ERROR, "The inputs of a job and of a node are values; only components declare them."
)
def declared_job_input(section: Section) -> Iterator[Finding]:
    """The SDK refuses it in words about data; an input that may be absent belongs on a pipeline component."""
    for name, value in section.mapping("inputs").items() if section.kind in JOBS | {kinds.NODE} else ():
        if not isinstance(value, Mapping):
            continue
        declared = [field for field in value if field in DECLARED]
        if not declared and str(value.get("type")).lower() in LITERAL_TYPES:
            declared = ["type"]
        if declared:
            given = shown(str(value.get("value", value.get("default", "VALUE"))))
            wanted = "leave it out" if "path" in value else f"write {name}: {given}"
            message = f'"{declared[0]}" declares the input "{name}", which a component does: {wanted}'
            yield Finding(section.at("inputs", name, declared[0]), message)


@rule(Section, "wrong-schema", WARNING, "A file's `$schema` is of the kind that the file is.")
def wrong_schema(section: Section) -> Iterator[Finding]:
    """An editor then checks and completes the wrong thing."""
    said = kinds.said_by(section.fields)
    if said and said != section.kind and section.kind in kinds.SCHEMAS.values():
        name = next(name for name, kind in kinds.SCHEMAS.items() if kind == section.kind)
        message = f"the $schema is that of {kinds.article(said)}, and this is {kinds.article(section.kind)}"
        yield Finding(section.at("$schema"), f"{message}; write {name}.schema.json")


@rule(Section, "yaml-reading", WARNING, "A text that YAML would read as something else stands in quotes.")
def yaml_reading(section: Section) -> Iterator[Finding]:
    """`no` is the boolean False in YAML 1.1, and 1.10 the number 1.1. Said only where a text is meant."""
    for where, text in section.document.misread.items():
        field = where[len(section.where) :]
        is_here = where[: len(section.where)] == section.where
        if is_here and _is_text(section, field) and not _is_name(section, field):
            yield Finding(where, f'YAML does not read "{text}" as this text: write it in quotes')


def _as_read(section: Section, kind: object) -> str:
    """A type as the SDK reads it: the case of a node's does not matter, while that of a job's does."""
    return str(kind).lower() if section.kind in (kinds.NODE, kinds.OTHER_NODE, *TYPED) else str(kind)


@rule(Section, "boolean-name", ERROR, "The name of an input, an output or a node is no word that means true or false.")
def boolean_name(section: Section) -> Iterator[Finding]:
    """The SDK refuses the boolean that YAML makes of it, or ends with a TypeError."""
    for where, text in section.document.misread.items():
        if where[: len(section.where)] == section.where and _is_name(section, where[len(section.where) :]):
            yield Finding(where, f'YAML reads the name "{text}" as a boolean: write it in quotes')


@rule(Section, "date", ERROR, "What looks like a date stands in quotes.")
def date(section: Section) -> Iterator[Finding]:
    """YAML makes a date of it, which the SDK can neither check nor send."""
    for where, text in section.document.dates.items() if not section.where else ():
        if where == ("version",) and section.kind in TYPED:  # which the SDK makes a text of again
            continue
        yield Finding(where, f"YAML makes a date of {text}, which no field takes: write it in quotes")


def _is_name(section: Section, field: Where) -> bool:
    """Whether a field is named by a word that YAML makes a boolean of."""
    match field:
        case ("inputs" | "outputs" | "jobs", name) if name.lower() in BOOLEAN_WORDS:
            return section.kind in WITH_INPUTS
    return False


def _is_text(section: Section, field: Where) -> bool:
    """Whether a text is meant in a field: a version, a name, a string's value."""
    match field:
        case ("version",):
            return not section.where
        case ("environment_variables", _):
            return True
        case ("inputs", name, "default") if section.kind in TYPED:
            return ports(section.fields.get("inputs"))[name].type == "string"
        case ("inputs", name) if name in section.taken:
            return section.taken[name].type == "string"
    return False


def _asset_names(section: Section) -> Iterator[Finding]:
    """What an asset and the outputs of a job are registered as; a component's name has a rule of its own."""
    for where, fields in _assets(section):
        for field in ("version",) if section.kind in TYPED else ("name", "version"):
            text = str(fields.get(field) or "1")
            if not NAME.fullmatch(text) and not is_to_be_filled_in(text):
                message = f'"{shown(text)}" cannot be the {field} of an asset: {NAME_RULE}'
                yield Finding(section.at(*where, field), message)


def _assets(section: Section) -> Iterator[tuple[Where, Mapping[str, object]]]:
    """The mappings of a section that give an asset its name and its version."""
    if section.kind in (kinds.ENVIRONMENT, kinds.ASSET) or section.kind in TYPED:
        yield (), section.fields
    for name, output in section.mapping("outputs").items() if section.kind in WITH_OUTPUTS else ():
        if isinstance(output, Mapping):
            yield ("outputs", name), output


def _port_types(section: Section) -> Iterator[Finding]:
    for field in ("inputs", "outputs"):
        for name, port in section.mapping(field).items():
            kind = port.get("type") if isinstance(port, Mapping) else None
            if kind is None and section.kind not in TYPED:
                continue  # a job's are what the component says
            if kind is None:
                yield Finding(section.at(field, name), f'"{name}" has no type; there are {", ".join(PORT_TYPES)}')
            elif not _is_port_type(section, str(kind)):
                known = nearest(str(kind), PORT_TYPES)
                yield Finding(section.at(field, name, "type"), f'"{name}" is of a type "{shown(str(kind))}"{known}')


def _is_port_type(section: Section, kind: str) -> bool:
    """Whether an input or output can be of a type; the case of what is given does not matter."""
    known = LITERAL_TYPES | PATH_TYPES | {"group"}
    return kind in known or "${{" in kind or (section.kind not in TYPED and kind.lower() in PATH_TYPES)
