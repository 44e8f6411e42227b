"""Rules about fields: are they ones that Azure ML knows, in the place where it looks for them?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from azureml_local.checks import known_fields as known
from azureml_local.checks.field_shapes import MISSING_FIELD, UNKNOWN_FIELD, near, words_of
from azureml_local.checks.field_table import TRIAL_LIMITS
from azureml_local.checks.kinds import DEPLOYMENT, NODE, PIPELINE_JOB, TYPED, WITH_INPUTS, article, node_type, type_of
from azureml_local.checks.other_nodes import missing_in_node, unknown_in_node
from azureml_local.checks.sections import Section
from azureml_local.checks.shapes import misfits_of
from azureml_local.checks.table import ERROR, WARNING, Finding, Where, rule

TOTAL = "max_total_trials"
KUBERNETES_ONLY = ("resources",)
MANAGED_ONLY = ("egress_public_network_access", "private_network_connection")


@rule(Section, "unknown-field", ERROR, "A file, a node, an input and an output have only fields that Azure ML knows.")
def unknown_field(section: Section) -> Iterator[Finding]:
    """The SDK refuses some of them late, and ships others without a word."""
    if fields := known.FIELDS.get(section.kind):
        for name in section.fields:
            if name not in fields and not (section.kind in TYPED and name in known.NODE_ONLY):
                yield Finding(section.at(name), f'{article(section.kind)} has no field "{name}"{near(name, fields)}')
    yield from unknown_in_node(section)
    yield from _of_others(section)
    for where, fields, mapping in _ports(section):
        for name in mapping:
            if name not in fields:
                yield Finding((*where, name), f'"{where[-1]}" has no field "{name}"{near(name, fields)}')
    yield from misfits_of(section, UNKNOWN_FIELD)


@rule(Section, "node-field", ERROR, "What belongs on a node is not in a component.")
def node_field(section: Section) -> Iterator[Finding]:
    """The SDK ships these as unknown fields, drops them, or crashes on them: never does what they say."""
    if section.kind not in TYPED or (section.where and "component" not in section.where[-1:]):
        return
    for name in section.fields:
        if name in known.NODE_ONLY:
            yield Finding(section.at(name), f'a component has no "{name}": put it on the node that uses the component')
    for output, port in section.mapping("outputs").items():
        for name in port if isinstance(port, Mapping) else ():
            if name in known.NODE_OUTPUT_ONLY:
                message = f'the output "{output}" of a component has no "{name}": put it on the output of the node'
                yield Finding(section.at("outputs", output, name), message)


@rule(Section, "dropped-field", ERROR, "A node has a component, or a command of its own.")
def dropped_field(section: Section) -> Iterator[Finding]:
    """Of the two the SDK takes the component, without a word."""
    if section.kind == NODE and "component" in section.fields:
        for name in ("command", "code", "environment", "jobs"):
            if name in section.fields:
                yield Finding(section.at(name), f'the node has a component, and its "{name}" is dropped: take one away')


@rule(Section, "missing-field", ERROR, "A file has the fields that it must have.")
def missing_field(section: Section) -> Iterator[Finding]:
    """Names that the command line may give in place of the file are not asked for."""
    for name in known.REQUIRED.get(section.kind, ()):
        if section.fields.get(name) in (None, ""):
            yield Finding(section.at(), f'{article(section.kind)} needs "{name}"')
    if section.kind == DEPLOYMENT and not _is_kubernetes(section) and section.fields.get("instance_type", "") == "":
        yield Finding(section.at(), 'a managed online deployment needs "instance_type", as Standard_DS3_v2')
    if section.kind == NODE and not ({"component", "command", "jobs"} & set(section.fields) or _is_sweep(section)):
        yield Finding(section.at(), f'node "{section.where[-1]}" needs a component, or a command of its own')
    if section.kind == NODE and "jobs" in section.fields and "component" not in section.fields:
        message = f'node "{section.where[-1]}" needs "component": write its pipeline into a file, and name that'
        yield Finding(section.at("jobs"), message)
    is_command = section.kind == NODE and "command" in section.fields and "component" not in section.fields
    if is_command and section.fields.get("environment") in (None, ""):
        yield Finding(section.at("command"), f'the command of node "{section.where[-1]}" needs "environment"')
    for name in ("trial", "search_space", "objective", "limits") if _is_sweep(section) else ():
        if name not in section.fields:
            yield Finding(section.at(), f'the sweep of node "{section.where[-1]}" needs "{name}"')
        elif isinstance(limits := section.fields[name], Mapping) and name == "limits" and TOTAL not in limits:
            yield Finding(section.at(name), f'"limits" of a sweep need "{TOTAL}"')
    yield from missing_in_node(section)
    yield from misfits_of(section, MISSING_FIELD)


@rule(Section, "unknown-setting", WARNING, "A pipeline's settings are settings that there are.")
def unknown_setting(section: Section) -> Iterator[Finding]:
    """The SDK sends any name, and the service passes over those that it does not know."""
    for name in section.mapping("settings") if section.kind == PIPELINE_JOB else ():
        if name not in known.SETTINGS and not name.startswith("_"):
            message = f'a pipeline has no setting "{name}"{near(name, known.SETTINGS)}'
            yield Finding(section.at("settings", name), message)


def _is_sweep(section: Section) -> bool:
    return section.kind == NODE and (node_type(section.fields) == "sweep" or "trial" in section.fields)


def _is_kubernetes(section: Section) -> bool:
    """Whether a deployment is one on Kubernetes: to the SDK by its type alone, whatever its $schema is."""
    return type_of(section.fields).lower() == "kubernetes"


def _of_others(section: Section) -> Iterator[Finding]:
    """Fields that only deployments of the other type have, and limits that only a sweep has."""
    is_kubernetes = _is_kubernetes(section)
    scale = section.mapping("scale_settings").get("type") if section.kind == DEPLOYMENT else None
    if isinstance(scale, str) and "target_utilization" in words_of(scale) and not is_kubernetes:
        message = (
            "a managed deployment has scale settings of type: default; an autoscale rule of Azure Monitor scales it"
        )
        yield Finding(section.at("scale_settings", "type"), message)
    for name in section.fields if section.kind == DEPLOYMENT else ():
        if name in (MANAGED_ONLY if is_kubernetes else KUBERNETES_ONLY):
            other = "managed" if is_kubernetes else "kubernetes"
            message = f'only a deployment of type: {other} has "{name}", and it is the type that says so, no $schema'
            yield Finding(section.at(name), message)
    for name in section.mapping("limits") if section.kind == NODE and not _is_sweep(section) else ():
        if name in TRIAL_LIMITS:
            yield Finding(section.at("limits", name), f'"limits" of a command have no "{name}", which a sweep has')


def _ports(section: Section) -> Iterator[tuple[Where, set[str], Mapping[str, object]]]:
    if section.kind not in WITH_INPUTS:
        return
    for field, given in (("inputs", known.GIVEN_INPUT), ("outputs", known.GIVEN_OUTPUT)):
        for name, port in section.mapping(field).items():
            if isinstance(port, Mapping):
                yield section.at(field, name), known.PORT if section.kind in TYPED else given, port
