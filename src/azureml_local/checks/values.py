"""Rules about what a node gives its component: is it there, and is it what the component takes?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from azureml_local.checks.scopes import LITERAL_TYPES, PATH_TYPES, Command, Scope, Source, is_open, nearest
from azureml_local.checks.sections import is_to_be_filled_in
from azureml_local.checks.table import ERROR, WARNING, Finding, Where, rule
from azureml_local.expressions import references, shown, whole_reference
from azureml_local.spec import Component, Graph, Node, Port, Value

BARE = re.compile(r"parent(\.\w+)+")  # an expression without what makes it one
FOLDER_MODELS = frozenset({"mlflow_model", "triton_model", "mltable"})  # each a folder with a file of its own in it


@rule(Scope, "unknown-input", ERROR, "A node gives only inputs that its component has.")
def unknown_input(scope: Scope) -> Iterator[Finding]:
    """The SDK sends it without a word."""
    for node in scope.nodes.values():
        if isinstance(node.component, Component) and not is_open(node):
            yield from _unknown_inputs(scope, node)
            yield from _unknown_searches(scope, node)


@rule(Scope, "dropped-input", WARNING, "A node gives a pipeline component only inputs that it has.")
def dropped_input(scope: Scope) -> Iterator[Finding]:
    """Here the service drops it: a public sample that gives one is run against Azure twice a day."""
    for node in scope.nodes.values():
        if isinstance(node.component, Graph):
            yield from _unknown_inputs(scope, node)


@rule(Scope, "missing-input", ERROR, "A node gives every input that its component must have.")
def missing_input(scope: Scope) -> Iterator[Finding]:
    """An input that a sweep's search space gives is given."""
    for node in scope.nodes.values():
        for port in node.component.inputs.values():
            if port.optional or port.default is not None or port.type == "group":
                continue
            swept = node.sweep is not None and port.name in node.sweep.search_space
            if port.name not in node.inputs and not swept:
                called = scope.called(node)
                message = f'{called} does not give "{port.name}" ({port.type}), which its component requires'
                if not port.type:  # what a command of its own is given is what it declares
                    message = f'{called} has an input "{port.name}" with neither a path nor a value'
                yield Finding(scope.at(node, "inputs"), message)


@rule(Scope, "optional-to-required", ERROR, "What may be absent does not feed what must be there.")
def optional_to_required(scope: Scope) -> Iterator[Finding]:
    """The SDK refuses it for a pipeline component; for a pipeline job, the service does."""
    said: set[Where] = set()
    for node, port, where, source in _bound(scope):
        if source.is_given or port.optional:
            continue
        if source.parent_input in scope.inputs and scope.inputs[source.parent_input] is None:
            place = (*scope.where, "inputs", source.parent_input)
            if place not in said:
                said.add(place)
                message = f'the input "{source.parent_input}" has neither a path nor a value, and {scope.called(node)}'
                yield Finding(place, f"{message} must have it: give it one")
        else:
            message = f'{scope.called(node)} requires "{port.name}" and reads it from an input that may be absent'
            yield Finding(where, f"{message}: make that one required, or this one optional")


@rule(Scope, "wrong-kind", ERROR, "Data go to inputs that take data, and literals to those that take literals.")
def wrong_kind(scope: Scope) -> Iterator[Finding]:
    """What is of no known type is left alone."""
    for node, port, where, source in _bound(scope):
        if source.is_data and port.type in LITERAL_TYPES:
            message = f'{scope.called(node)} takes a {port.type} as "{port.name}" and is given data'
            yield Finding(where, message)
        is_literal = source.is_data is False and not is_to_be_filled_in(source.text or "")
        if is_literal and port.type in PATH_TYPES:
            text = "a literal" if source.text is None else f'the text "{shown(source.text)}"'
            message = f'{scope.called(node)} takes data ({port.type}) as "{port.name}" and is given {text}'
            bare = BARE.fullmatch(source.text or "")
            way_out = f"write ${{{{{bare[0]}}}}}" if bare else "data are written as a mapping with a type and a path"
            yield Finding(where, f"{message}; {way_out}")
        joined = _joined(scope, node.inputs[port.name])
        if joined and port.type in PATH_TYPES:
            message = (
                f'{scope.called(node)} takes data ({port.type}) as "{port.name}" and is given text around {joined}'
            )
            yield Finding(where, f"{message}: give the data whole, and write the rest of the path into the command")


@rule(Scope, "wrong-literal", ERROR, "An integer, a number or a boolean is one.")
def wrong_literal(scope: Scope) -> Iterator[Finding]:
    """Text that reads as the type will do, as it does for Azure."""
    for given in _literals(scope):
        if expected := unlike(given.text, given.port):
            message = f'{given.called} takes {expected} as "{given.port.name}", got "{shown(given.text)}"'
            yield from given.finding(message)


@rule(Scope, "out-of-range", ERROR, "A number is within its minimum and maximum.")
def out_of_range(scope: Scope) -> Iterator[Finding]:
    """The bounds are part of the range."""
    for given in _literals(scope):
        if bound := beyond(given.text, given.port):
            yield from given.finding(f'{given.called} takes "{given.port.name}" {bound}, got {shown(given.text)}')


@rule(Scope, "not-in-enum", ERROR, "A string with an enum is one of its values.")
def not_in_enum(scope: Scope) -> Iterator[Finding]:
    """As written: upper and lower case differ."""
    for given in _literals(scope):
        if given.port.choices and given.text not in given.port.choices:
            known = nearest(given.text, given.port.choices)
            message = f'{given.called} gives "{given.port.name}" the value "{shown(given.text)}"'
            yield from given.finding(f"{message}, which is not in its enum{known}")


@rule(Scope, "bad-variable", ERROR, "An environment variable has a name and a value that a process can be given.")
def bad_variable(scope: Scope) -> Iterator[Finding]:
    """No system takes an empty name, one with =, or the character 0 in either."""
    for node in scope.nodes.values():
        inner = node.component.environment_variables if isinstance(node.component, Component) else {}
        of_component = () if scope.is_standalone else ("component",)
        for variables, way in ((node.environment_variables, ()), (inner, of_component)):
            for name, value in variables.items():
                if not name or "=" in name or "\0" in name + value:
                    said = f"{scope.called(node)} has an environment variable {shown(repr(name))}"
                    rule_of_names = "a name is not empty and has no =, and nothing has the character 0 in it"
                    yield Finding(scope.at(node, *way, "environment_variables", name), f"{said}: {rule_of_names}")


@rule(Command, "bad-default", ERROR, "A default is a value that its input takes.", also=Scope)
def bad_default(of: Command | Scope) -> Iterator[Finding]:
    """The same questions as for a value that a node gives."""
    inputs = of.component.inputs if isinstance(of, Command) else of.inputs
    for port in inputs.values():
        if not isinstance(port, Port) or port.default is None:
            continue
        where = (*of.where, "inputs", port.name, "default")
        text = f'the default of "{port.name}"'
        if expected := unlike(port.default, port):
            yield Finding(where, f'{text} must be {expected}, got "{shown(port.default)}"')
        elif bound := beyond(port.default, port):
            yield Finding(where, f"{text} must be {bound}, got {shown(port.default)}")
        elif port.choices and port.default not in port.choices:
            known = nearest(port.default, port.choices)
            yield Finding(where, f'{text} is "{shown(port.default)}", which is not in its enum{known}')


@rule(Scope, "data-type", WARNING, "The data that a node reads are of a type that its input can be.")
def data_type(scope: Scope) -> Iterator[Finding]:
    """Azure hands over a path whatever the types, so folders, files and tables mix freely in working pipelines.

    What cannot work is said: a single file where a model's or a table's folder is read, or the other way round, and a
    model of one framework where another's is read.
    """
    for node, port, where, source in _bound(scope):
        pair = {source.type, port.type}
        if len(pair) == 2 and pair <= FOLDER_MODELS | {"uri_file"}:
            message = f'{scope.called(node)} reads "{port.name}" as {port.type} from an output that is {source.type}'
            yield Finding(where, f"{message}: one is not the other")


def unlike(text: str, port: Port) -> str | None:
    """What a literal's text should have been, in words; None where it is of the port's type."""
    if port.type == "boolean":
        return None if text.lower() in {"true", "false"} else "true or false"
    if port.type in {"integer", "number"}:
        try:
            int(text) if port.type == "integer" else float(text)
        except ValueError:
            return "an integer" if port.type == "integer" else "a number"
    return None


def beyond(text: str, port: Port) -> str | None:
    """The bound that a number passes, in words."""
    if port.type not in {"integer", "number"}:
        return None
    value, least, most = (_number(part) for part in (text, port.minimum, port.maximum))
    if value is None:
        return None
    if least is not None and value < least:
        return f"from {port.minimum}{f' to {port.maximum}' if most is not None else ''}"
    if most is not None and value > most:
        return f"{f'from {port.minimum} ' if least is not None else ''}up to {port.maximum}"
    return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class _Literal:
    """A text that a node gives an input, and where it is written: in the node, or in the pipeline's own inputs."""

    called: str
    port: Port
    text: str
    where: Where
    said: set[Where]

    def finding(self, message: str) -> Iterator[Finding]:
        """The message, once for each place: many nodes may read one input of the pipeline."""
        if self.where not in self.said:
            self.said.add(self.where)
            yield Finding(self.where, message)


def _literals(scope: Scope) -> Iterator[_Literal]:
    said: set[Where] = set()
    for node, port, where, source in _bound(scope):
        if source.text is not None and not is_to_be_filled_in(source.text):
            place = (*scope.where, "inputs", source.parent_input) if source.parent_input else where
            yield _Literal(scope.called(node), port, source.text, place, said)
    for node in scope.nodes.values():
        for name, (kind, choices) in node.sweep.search_space.items() if node.sweep else ():
            drawn = node.component.inputs.get(name)
            if drawn is None or kind.lower() != "choice":
                continue
            for choice in choices:
                yield _Literal(scope.called(node), drawn, choice, scope.at(node, "search_space", name), said)


def _bound(scope: Scope) -> Iterator[tuple[Node, Port, Where, Source]]:
    """Every input that a node gives and its component declares, with what is behind it."""
    for node in scope.nodes.values():
        for name, value in node.inputs.items():
            if port := node.component.inputs.get(name):
                yield node, port, scope.at(node, "inputs", name), scope.source(value)


def _joined(scope: Scope, value: Value) -> str:
    """The data that a text is written around; "" where there are none."""
    if not isinstance(value, str) or whole_reference(value):
        return ""
    data = (one for one in references(value) if scope.behind(one).is_data)
    return next((one.written(value) for one in data), "")


def _unknown_inputs(scope: Scope, node: Node) -> Iterator[Finding]:
    for name in node.inputs:
        if name not in node.component.inputs and not _is_in_a_group(name, node):
            known = nearest(name, node.component.inputs)
            message = f'{scope.called(node)} gives an input "{name}", which its component does not have{known}'
            yield Finding(scope.at(node, "inputs", name), message)


def _unknown_searches(scope: Scope, node: Node) -> Iterator[Finding]:
    """What a sweep draws for an input that its trial does not have; a sweep job's command reads it as it is."""
    drawn = node.sweep.search_space if node.sweep and not scope.is_standalone else {}
    for name in drawn:
        if name not in node.component.inputs:
            known = nearest(name, node.component.inputs)
            message = (
                f'{scope.called(node)} searches values for an input "{name}", which its trial does not have{known}'
            )
            yield Finding(scope.at(node, "search_space", name), message)


def _is_in_a_group(name: str, node: Node) -> bool:
    group = node.component.inputs.get(name.partition(".")[0])
    return "." in name and group is not None and group.type == "group"
