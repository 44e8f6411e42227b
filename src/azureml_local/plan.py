"""From a pipeline as written to tasks that can be run: every name looked up, every value in its place."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from azureml_local.expressions import command_line, did_you_mean, key_for, references, substitute, whole_reference
from azureml_local.spec import Component, Data, Distribution, Node, Pipeline, Port, SpecError, Value


@dataclass(frozen=True, kw_only=True)
class Task:
    """A node with nothing left to look up."""

    node: Node
    component: Component
    folder: Path  # the job's own
    needs: frozenset[str]  # the nodes whose outputs it reads
    command: str
    outputs: dict[str, Path]
    distribution: str | None  # its type, None for a plain command
    process_count: int

    @property
    def log_folder(self) -> Path:
        """Where its logs lie, each under the path that Azure gives it."""
        return self.folder / "logs"

    def log(self, rank: int) -> Path:
        """What the process of this rank writes."""
        name = f"std_log_process_{rank}.txt" if self.distribution else "std_log.txt"
        return self.log_folder / "user_logs" / name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run, and where the pipeline's outputs will be."""

    tasks: dict[str, Task]
    outputs: dict[str, Path]

    def order(self) -> TopologicalSorter[str]:
        """The nodes' names, each after those that it needs; prepared."""
        sorter = TopologicalSorter({name: task.needs for name, task in self.tasks.items()})
        sorter.prepare()
        return sorter


def plan(pipeline: Pipeline, jobs: Path) -> Plan:
    """Bind a pipeline whose jobs have their folders under `jobs`.

    Raises SpecError, naming node and field, where it cannot be run as written.
    """
    binder = _Binder(pipeline, jobs)
    planned = Plan(tasks={name: binder.task(node) for name, node in pipeline.nodes.items()}, outputs=binder.outputs())
    try:
        planned.order()
    except CycleError as error:
        circle = " -> ".join(f'"{name}"' for name in error.args[1])
        raise SpecError(f"the nodes {circle} wait for each other: each reads an output of the one before") from None
    return planned


class _Binder:
    def __init__(self, pipeline: Pipeline, jobs: Path) -> None:
        self._pipeline = pipeline
        self._jobs = jobs

    def task(self, node: Node) -> Task:
        self._check_names(node)
        component = node.component
        assert isinstance(component, Component)
        outputs = {name: self._output(node, name) for name in node.component.outputs}
        values: dict[str, str | None] = {f"outputs.{name}": str(path) for name, path in outputs.items()}
        for port in node.component.inputs.values():
            values[f"inputs.{port.name}"] = self._input(node, port)
        try:
            command = command_line(component.command, values)
        except SpecError as error:
            raise SpecError(f'node "{node.name}", command: {error}') from None
        distribution = node.distribution or component.distribution
        return Task(
            node=node,
            component=component,
            folder=self._jobs / node.job_name,
            needs=self._needs(node),
            command=command,
            outputs=outputs,
            distribution=distribution.type if distribution else None,
            process_count=self._process_count(node, distribution),
        )

    def outputs(self) -> dict[str, Path]:
        """Pipeline output -> the path that the node bound to it writes."""
        bound: dict[str, Path] = {}
        for node in self._pipeline.nodes.values():
            for name, bound_to in node.outputs.items():
                if not (target := bound_to.target):
                    continue
                where = f'node "{node.name}", output "{name}"'
                output = self._pipeline_output(target, where)
                if output in bound:
                    raise SpecError(f'{where}: another node writes the pipeline\'s output "{output}" already')
                bound[output] = self._output(node, name)
        return bound

    def _pipeline_output(self, target: str, where: str) -> str:
        path = whole_reference(target) or ""
        if not path.startswith("parent.outputs."):
            raise SpecError(f'{where} is bound to "{target}"; expected ${{{{parent.outputs.<name>}}}}')
        name = path.removeprefix("parent.outputs.")
        if name not in self._pipeline.outputs:
            known = did_you_mean(name, self._pipeline.outputs)
            raise SpecError(f'{where} is bound to "{target}", which the pipeline does not have{known}')
        return name

    def _output(self, node: Node, name: str) -> Path:
        return self._jobs / node.job_name / "outputs" / name

    def _check_names(self, node: Node) -> None:
        for kind, given, declared in (
            ("input", node.inputs, node.component.inputs),
            ("output", node.outputs, node.component.outputs),
        ):
            for name in set(given) - set(declared):
                raise SpecError(
                    f'node "{node.name}", {kind} "{name}": the component "{node.component.name}" '
                    f"has no such {kind}{did_you_mean(name, declared)}"
                )

    def _input(self, node: Node, port: Port) -> str | None:
        where = f'node "{node.name}", input "{port.name}"'
        value = self._resolve(node.inputs[port.name], where) if port.name in node.inputs else None
        if value is None:
            value = port.default
        if value is None:
            if port.optional:
                return None
            raise SpecError(f"{where} is required and has no value")
        if isinstance(value, Data):
            return _data(value, port, where)
        return _literal(value, port, where)

    def _resolve(self, value: Value, where: str) -> Value | None:
        if isinstance(value, Data):
            return value
        try:
            path = whole_reference(value)
            return self._look_up(path) if path else substitute(value, self._text)
        except SpecError as error:
            raise SpecError(f"{where}: {error}") from None

    def _text(self, path: str) -> str:
        value = self._look_up(path)
        if value is None:
            raise SpecError(f'"{path}" has no value')
        return str(value.path) if isinstance(value, Data) else value

    def _look_up(self, path: str) -> Value | None:
        match path.split("."):
            case ["parent", "inputs", *_]:
                inputs = {f"parent.inputs.{name}": value for name, value in self._pipeline.inputs.items()}
                return inputs[key_for(path, inputs)]
            case ["parent", "jobs", name, "outputs", output, *_]:
                return Data(path=self._output(*self._node_output(name, output)))
        raise SpecError(
            f'"${{{{{path}}}}}" cannot be read here; '
            "expected ${{parent.inputs.<name>}} or ${{parent.jobs.<node>.outputs.<name>}}"
        )

    def _node_output(self, name: str, output: str) -> tuple[Node, str]:
        node = self._pipeline.nodes.get(name)
        if node is None:
            raise SpecError(f'"{name}" is not a node{did_you_mean(name, self._pipeline.nodes)}')
        if output not in node.component.outputs:
            raise SpecError(f'node "{name}" has no output "{output}"{did_you_mean(output, node.component.outputs)}')
        return node, output

    def _needs(self, node: Node) -> frozenset[str]:
        texts = [value for value in node.inputs.values() if isinstance(value, str)]
        paths = [path.split(".") for text in texts for path in references(text)]
        return frozenset(path[2] for path in paths if path[:2] == ["parent", "jobs"])

    def _process_count(self, node: Node, distribution: Distribution | None) -> int:
        if distribution is None:
            return 1
        where = f'node "{node.name}", distribution'
        if distribution.type != "pytorch":
            raise SpecError(f'{where}: the type "{distribution.type}" is not spoken here; only "pytorch" is')
        count = self._resolve(distribution.process_count, where)
        if not isinstance(count, str) or not count.isdecimal() or int(count) < 1:
            raise SpecError(f'{where}: the number of processes must be 1 or more, got "{count}"')
        return int(count)


def _data(value: Data, port: Port, where: str) -> str:
    if not port.is_data:
        raise SpecError(f"{where} takes a {port.type}, but is given the data at {value.path}")
    return str(value.path)


def _literal(text: str, port: Port, where: str) -> str:
    """The text as Azure writes a value of the port's type into a command."""
    if port.is_data:
        raise SpecError(f'{where} takes data ({port.type}), but is given the text "{text}"')
    if port.type == "boolean":
        if text.lower() not in {"true", "false"}:
            raise SpecError(f'{where} takes true or false, got "{text}"')
        return text.capitalize()
    if port.type in {"integer", "number"}:
        try:
            int(text) if port.type == "integer" else float(text)
        except ValueError:
            raise SpecError(
                f'{where} takes a{"n integer" if port.type == "integer" else " number"}, got "{text}"'
            ) from None
    return text
