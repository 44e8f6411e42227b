"""Rules about the shape of fields: where the SDK wants a text, a whole number or a mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from azureml_local.checks.field_shapes import WRONG_SHAPE, misfits
from azureml_local.checks.field_table import SHAPES
from azureml_local.checks.kinds import JOBS, NODE, OTHER_NODE, PIPELINE_JOB, TRIAL
from azureml_local.checks.known_fields import REQUIRED
from azureml_local.checks.other_nodes import shapes_of_node
from azureml_local.checks.sections import Section
from azureml_local.checks.table import ERROR, Finding, rule

WITH_EXPRESSIONS = frozenset({NODE, OTHER_NODE, TRIAL})  # in fields that are no texts


@rule(Section, "wrong-shape", ERROR, "A field holds what it is for: a text, a whole number, or fields of its own.")
def wrong_shape(section: Section) -> Iterator[Finding]:
    """The SDK's own words for it tell neither the value nor what is wanted."""
    return misfits_of(section, WRONG_SHAPE)


@rule(Section, "empty-input", ERROR, "An input of a pipeline or of a node, and the path of any, is not empty.")
def empty_input(section: Section) -> Iterator[Finding]:
    """The SDK leaves an empty text of a pipeline out, and its nodes then read what is not there."""
    for name, value in section.mapping("inputs").items() if section.kind in JOBS | {NODE} else ():
        port = section.taken.get(name)
        if value == "" and section.kind == PIPELINE_JOB:
            message = f'the input "{name}" is an empty text, which the SDK leaves out: give it a value'
            yield Finding(section.at("inputs", name), message)
        elif isinstance(value, Mapping) and value.get("path") == "":
            yield Finding(section.at("inputs", name, "path"), f'the path of the input "{name}" is empty: give it one')
        elif value is None and port and (port.optional or port.default is not None):  # else it is missing
            message = f'the input "{name}" is empty: give it a value, or take it away'
            yield Finding(section.at("inputs", name), message)


def misfits_of(section: Section, rule_name: str) -> Iterator[Finding]:
    """What does not fit in the fields of a section, as far as it is this rule's."""
    shapes = SHAPES.get(section.kind) or shapes_of_node(section)
    for name, value in section.fields.items():
        is_missing = value is None and name in REQUIRED.get(section.kind, ())
        if (shape := shapes.get(name)) and not is_missing:
            for one in misfits(shape, section.at(name), value):
                if one.rule == rule_name and not (one.of_expression and section.kind in WITH_EXPRESSIONS):
                    yield one.finding
