"""What the rules look at: a graph with its nodes, a component with its command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from itertools import islice

from azureml_local.checks.table import Where
from azureml_local.expressions import Reference, did_you_mean, meant, references, whole_reference
from azureml_local.spec import DATA_TYPES, Component, Data, Graph, Node, Output, Pipeline, Port, Value

LITERAL_TYPES = frozenset({"string", "integer", "number", "boolean"})
PATH_TYPES = DATA_TYPES | {"path"}  # `path` is the older word for a folder
MOST_NAMES = 120  # among which a near miss is looked for
FEW = 10


@dataclass(frozen=True)
class Source:
    """What a value is, as far as it is known before the job runs."""

    is_data: bool | None  # None: nothing is known
    type: str = ""
    text: str | None = None  # a literal's, where it is known
    is_given: bool = True  # False: an optional input that may be absent
    parent_input: str = ""  # the input of the graph that it is


UNKNOWN = Source(is_data=None)


@dataclass(frozen=True)
class Scope:
    """One graph: a pipeline job or a pipeline component, and where it is written."""

    where: Where
    nodes: Mapping[str, Node]
    inputs: Mapping[str, Port | Value | None]
    outputs: Iterable[str]
    is_standalone: bool = False  # a command job: one node that is the job
    is_job: bool = False  # its inputs are what a job is given, and not what a component declares

    def at(self, node: Node, *fields: str) -> Where:
        """The way to a field of a node."""
        return (*self.where, *fields) if self.is_standalone else (*self.where, "jobs", node.name, *fields)

    def called(self, node: Node) -> str:
        """The node in a sentence."""
        return "the job" if self.is_standalone else f'node "{node.name}"'

    def source(self, value: Value) -> Source:
        """What is behind a node's input; UNKNOWN also where other rules complain."""
        if isinstance(value, Data):
            return Source(is_data=True)
        reference = whole_reference(value)
        if reference:
            return self.behind(reference)
        return Source(is_data=False, text=value) if "${{" not in value else UNKNOWN

    def behind(self, reference: Reference) -> Source:
        """What an expression reads."""
        match reference.parts:
            case ["parent", "inputs", *names] if name := known_name(names, self.inputs):
                return replace(_of_input(self.inputs[name]), parent_input=name)
            case ["parent", "jobs", name, "outputs", output, *_] if name in self.nodes:
                port = self.nodes[name].component.outputs.get(output)
                return _of_port(port) if port else UNKNOWN
        return UNKNOWN


@dataclass(frozen=True)
class Command:
    """A component's command line with its interface, and where it is written."""

    where: Where
    component: Component
    search_space: frozenset[str] = frozenset()  # the names a sweep gives it
    given: tuple[tuple[str, str], ...] = ()  # input -> a text that a node gives it


def scopes(pipeline: Pipeline) -> list[Scope]:
    """The pipeline's own graph and every graph in it."""
    is_standalone = set(pipeline.nodes) == {pipeline.name}
    return _with_inner(Scope((), pipeline.nodes, pipeline.inputs, pipeline.outputs, is_standalone, is_job=True))


def graph_scopes(graph: Graph, where: Where) -> list[Scope]:
    """A pipeline component's graph and every graph in it."""
    return _with_inner(Scope(where, graph.nodes, graph.inputs, graph.outputs))


def commands(scope: Scope) -> Iterator[Command]:
    """The command of every node of a graph that has one, with the texts that the node gives it."""
    for node in scope.nodes.values():
        if isinstance(node.component, Component) and node.component.command:
            texts = ((name, scope.source(value).text) for name, value in node.inputs.items())
            space = frozenset(node.sweep.search_space) if node.sweep else frozenset()
            given = tuple((name, text) for name, text in texts if text is not None)
            where = scope.at(node) if scope.is_standalone else scope.at(node, "trial" if node.sweep else "component")
            yield Command(where, node.component, space, given)


def texts(node: Node) -> Iterator[tuple[Where, str]]:
    """Every text of a node that may hold expressions, except where its outputs go."""
    for name, value in node.inputs.items():
        if isinstance(value, str):
            yield ("inputs", name), value
    distribution = node.distribution
    if distribution and "distribution.process_count_per_instance" not in node.settings:
        yield ("distribution", "process_count_per_instance"), distribution.process_count
    for name, value in node.environment_variables.items():
        if f"environment_variables.{name}" not in node.settings:
            yield ("environment_variables", name), value
    for field, value in node.settings.items():
        yield tuple(field.split(".")), value


def reads(scope: Scope, node: Node) -> Iterator[tuple[Where, Reference]]:
    """Every expression of a node, with its field."""
    for field, text in texts(node):
        for reference in references(text):
            yield scope.at(node, *field), reference


def targets(scope: Scope) -> Iterator[tuple[Node, str, Output]]:
    """Every output that a node hands to the graph around it."""
    for node in scope.nodes.values():
        for name, output in node.outputs.items():
            if output.target:
                yield node, name, output


def is_open(node: Node) -> bool:
    """Whether nothing is known of the interface of what the node runs."""
    return isinstance(node.component, Component) and not node.component.interface_known


def known_name(names: list[str], known: Iterable[str]) -> str | None:
    """The declared name that the rest of a path means; None where there is none."""
    there = known if isinstance(known, Mapping | Set) else set(known)
    if name := meant(".".join(names), there):
        return name
    return names[0] if names and names[0] in there and names[1:] == ["path"] else None


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is not there: the nearest one, or all where they are few."""
    names = list(islice(known, MOST_NAMES))
    said = did_you_mean(name, names)
    return said if len(names) <= FEW or said.endswith("?") else ""


def _with_inner(outermost: Scope) -> list[Scope]:
    """The scope and those inside it, each graph once: graphs that use each other twice would be millions of uses."""
    found, seen = [outermost], set()
    for scope in found:
        for node in scope.nodes.values():
            graph = node.component
            if isinstance(graph, Graph) and id(graph) not in seen:
                seen.add(id(graph))
                found.append(Scope(scope.at(node, "component"), graph.nodes, graph.inputs, graph.outputs))
    return found


def _of_input(declared: Port | Value | None) -> Source:
    if declared is None:
        return Source(is_data=None, is_given=False)
    if isinstance(declared, Port):
        return _of_port(declared)
    return Source(is_data=isinstance(declared, Data), text=declared if isinstance(declared, str) else None)


def _of_port(port: Port) -> Source:
    known = port.type in PATH_TYPES or port.type in LITERAL_TYPES
    is_data = port.type in PATH_TYPES if known else None
    return Source(is_data=is_data, type=port.type, is_given=not port.optional)
