"""What `parent` means to a node: the pipeline, or the graph that the node around it stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from azureml_local.expressions import did_you_mean, key_for, whole_reference
from azureml_local.spec import Data, Graph, Node, Output, SpecError, Value


@dataclass(frozen=True)
class Bound:
    """A value, and the steps that must be done before it is there."""

    value: Value | None
    needs: frozenset[str] = frozenset()
    is_writable: bool = False  # whether a job may change the data, as a mode around it says


@dataclass(frozen=True)
class Scope:
    """What `parent` means to some nodes: the pipeline, or the graph that a node stands for."""

    prefix: str  # of the nodes' full names
    job: str | None  # the job around them
    jobs: Path
    nodes: dict[str, Node]
    inputs: dict[str, Bound]
    outputs: dict[str, Output]

    def output(self, node: Node, name: str) -> Bound:
        """Where a node's output will be."""
        if isinstance(node.component, Graph):
            inner = self.within(node, {})
            for writer, output in inner.writers(name):
                return inner.output(writer, output)
            raise SpecError(f'node "{self.prefix}{node.name}": no node of it writes its output "{name}"')
        return Bound(Data(path=self.place(node, name)), frozenset({self.prefix + node.name}))

    def place(self, node: Node, name: str) -> Path:
        """Where an output shall lie: where the node says, or the pipeline around it, or in the job's folder."""
        said = node.outputs.get(name, Output())
        bound = self.outputs.get(output_name(said.target)) if said.target else None
        return said.place or (bound and bound.place) or self.jobs / node.job_name / "outputs" / name

    def within(self, node: Node, inputs: dict[str, Bound]) -> Scope:
        """The scope of the nodes of a graph, which take its inputs and may write to the places of its outputs."""
        assert isinstance(node.component, Graph)
        outputs = {}
        for name in node.component.outputs:
            said = node.outputs.get(name, Output())
            around = self.outputs.get(output_name(said.target), Output()) if said.target else Output()
            outputs[name] = replace(said, place=said.place or around.place)
        prefix = f"{self.prefix}{node.name}."
        return Scope(prefix, node.job_name, self.jobs, node.component.nodes, inputs, outputs)

    def writers(self, output: str) -> list[tuple[Node, str]]:
        """The nodes that are bound to an output of the scope, each with its own name for it."""
        return [
            (node, name)
            for node in self.nodes.values()
            for name, said in node.outputs.items()
            if said.target and output_name(said.target) == output
        ]

    def bound_outputs(self) -> dict[str, Path]:
        """Output -> the path that the node bound to it writes."""
        self._check_targets()
        bound = {}
        for name in self.outputs:
            for node, output in self.writers(name):
                value = self.output(node, output).value
                assert isinstance(value, Data)
                bound[name] = value.path
        return bound

    def _check_targets(self) -> None:
        written: set[str] = set()
        for node in self.nodes.values():
            for name, said in node.outputs.items():
                where = f'node "{self.prefix}{node.name}", output "{name}"'
                output = output_name(said.target)
                if said.target and output not in self.outputs:
                    known = did_you_mean(output, self.outputs)
                    raise SpecError(f'{where} is bound to "{said.target}", which the pipeline does not have{known}')
                if output in written:
                    raise SpecError(f'{where}: another node writes the pipeline\'s output "{output}" already')
                written |= {output} if said.target else set()


def output_name(target: str) -> str:
    """The name in `${{parent.outputs.<name>}}`; raises SpecError for any other text."""
    if not target:
        return ""
    reference = whole_reference(target)
    if not reference or not reference.path.startswith("parent.outputs."):
        raise SpecError(f'an output is bound to "{target}"; expected ${{{{parent.outputs.<name>}}}}')
    return reference.path.removeprefix("parent.outputs.")


def look_up(scope: Scope, path: str) -> Bound:
    """What a path such as `parent.inputs.x` means in a scope. Raises SpecError with the nearest known name."""
    match path.split("."):
        case ["parent", "inputs", *_]:
            inputs = {f"parent.inputs.{name}": bound for name, bound in scope.inputs.items()}
            return inputs[key_for(path, inputs)]
        case ["parent", "jobs", name, "outputs", output, *_]:
            node = scope.nodes.get(name)
            if node is None:
                raise SpecError(f'"{name}" is not a node{did_you_mean(name, scope.nodes)}')
            if output not in node.component.outputs:
                raise SpecError(f'node "{name}" has no output "{output}"{did_you_mean(output, node.component.outputs)}')
            return scope.output(node, output)
    raise SpecError(
        f'"${{{{{path}}}}}" cannot be read here; '
        "expected ${{parent.inputs.<name>}} or ${{parent.jobs.<node>.outputs.<name>}}"
    )
