"""From a pipeline as written to its plan: what each `${{parent...}}` means, in graphs within graphs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from azureml_local.engine.plan import Group, Plan, Task
from azureml_local.engine.scopes import Bound, Scope, look_up
from azureml_local.engine.sweeps import trial_values
from azureml_local.expressions import command_line, did_you_mean, references, substitute, whole_reference
from azureml_local.home import SPECIAL
from azureml_local.spec import Component, Data, Distribution, Graph, Node, Pipeline, Port, SpecError, Value

RUN_ONCE = ("mpi", "ray", "tensorflow")  # distributions whose launchers are not here


def plan(pipeline: Pipeline, jobs: Path) -> Plan:
    """Bind a pipeline whose jobs have their folders under `jobs`.

    Raises SpecError, naming node and field, where it cannot be run as written.
    """
    binder = _Binder(pipeline, jobs)
    binder.bind(binder.root)
    planned = Plan(tasks=binder.tasks, groups=binder.groups, outputs=binder.root.bound_outputs())
    planned.order()
    return planned


class _Binder:
    def __init__(self, pipeline: Pipeline, jobs: Path) -> None:
        self._jobs = jobs
        self.tasks: dict[str, Task] = {}
        self.groups: dict[str, Group] = {}
        inputs = {name: Bound(value, is_writable=name in pipeline.writable) for name, value in pipeline.inputs.items()}
        self.root = Scope("", pipeline.name, jobs, pipeline.nodes, inputs, pipeline.outputs)

    def bind(self, scope: Scope) -> None:
        """Make the tasks of a scope, and of those within."""
        for node in scope.nodes.values():
            _check_names(scope, node)
            inputs = {port.name: self._input(scope, node, port) for port in _ports(node)}
            if isinstance(node.component, Graph):
                self._bind_graph(scope, node, inputs)
            elif node.sweep:
                self._bind_sweep(scope, node, inputs)
            else:
                task = self._task(scope, node, inputs)
                self.tasks[task.name] = task

    def _bind_graph(self, scope: Scope, node: Node, inputs: dict[str, Bound]) -> None:
        inner = scope.within(node, inputs)
        earlier = set(self.tasks)
        name = scope.prefix + node.name
        self.groups[name] = group = self._group(scope, node, inner.bound_outputs())
        self.bind(inner)
        self.groups[name] = replace(group, tasks=tuple(task for task in self.tasks if task not in earlier))

    def _bind_sweep(self, scope: Scope, node: Node, inputs: dict[str, Bound]) -> None:
        assert node.sweep
        name = scope.prefix + node.name
        trials = []
        for number, values in enumerate(trial_values(node.sweep, seed=name), start=1):
            job = f"{node.job_name}_{number}"
            sampled = {key: Bound(value) for key, value in values.items()}
            title = ", ".join(f"{key} = {value}" for key, value in values.items())
            trial = replace(node, job_name=job, outputs={}, display_name=title, timeout=node.sweep.trial_timeout)
            trial = replace(trial, description="", tags={}, properties={})  # these are the sweep's own
            task = self._task(scope, trial, inputs | sampled)
            self.tasks[f"{name}.{number}"] = replace(task, name=f"{name}.{number}", parent=node.job_name)
            trials.append(f"{name}.{number}")
        outputs = {output: scope.place(node, output) for output in node.component.outputs}
        self.groups[name] = replace(self._group(scope, node, outputs), tasks=tuple(trials), sweep=node.sweep)

    def _group(self, scope: Scope, node: Node, outputs: dict[str, Path]) -> Group:
        return Group(
            name=scope.prefix + node.name,
            node=node,
            job=node.job_name,
            parent=None if node.job_name == scope.job else scope.job,
            folder=self._jobs / node.job_name,
            tasks=(),
            outputs=outputs,
        )

    def _task(self, scope: Scope, node: Node, inputs: dict[str, Bound]) -> Task:
        component = node.component
        assert isinstance(component, Component)
        name = scope.prefix + node.name
        given = {key: _as_given(bound.value, component.inputs[key], name) for key, bound in inputs.items()}
        outputs = {output: scope.place(node, output) for output in component.outputs}
        variables = self._variables(scope, node)
        folder, links = self._jobs / node.job_name, dict[Path, Path]()
        values = {f"inputs.{key}": _spoken(value, folder / "inputs" / key, links) for key, value in given.items()}
        values |= {f"outputs.{key}": _spoken(path, folder / "outputs" / key, links) for key, path in outputs.items()}
        try:
            command = command_line(component.command, values)
        except SpecError as error:
            raise SpecError(f'node "{name}", command: {error}') from None
        distribution = node.distribution or component.distribution
        kind = distribution.type if distribution else None
        return Task(
            name=name,
            node=replace(node, environment_variables={key: _text(key, bound) for key, bound in variables.items()}),
            component=component,
            job=node.job_name,
            parent=None if node.job_name == scope.job else scope.job,
            folder=folder,
            needs=_needs([*inputs.values(), *variables.values()]),
            command=command,
            given={key: value for key, value in given.items() if value is not None},
            outputs=outputs,
            writable=frozenset(key for key, bound in inputs.items() if bound.is_writable),
            links=links,
            distribution=None if kind in RUN_ONCE else kind,
            left_out=kind if kind in RUN_ONCE else "",
            process_count=self._process_count(scope, name, distribution),
            timeout=node.timeout,
        )

    def _input(self, scope: Scope, node: Node, port: Port) -> Bound:
        where = f'node "{scope.prefix}{node.name}", input "{port.name}"'
        bound = self._resolve(scope, node.inputs[port.name], where) if port.name in node.inputs else Bound(None)
        if bound.value is None and port.default is not None:
            bound = replace(bound, value=port.default)
        if port.name in node.writable:
            bound = replace(bound, is_writable=True)
        swept = node.sweep is not None and port.name in node.sweep.search_space
        if bound.value is None and not port.optional and not swept:
            raise SpecError(f"{where} is required and has no value")
        return bound

    def _resolve(self, scope: Scope, value: Value, where: str) -> Bound:
        if isinstance(value, Data):
            return Bound(value)
        try:
            if whole := whole_reference(value):
                return look_up(scope, whole.path)
            found = {one.path: look_up(scope, one.path) for one in references(value)}
            return Bound(substitute(value, lambda path: _text(path, found[path])), _needs(found.values()))
        except SpecError as error:
            raise SpecError(f"{where}: {error}") from None

    def _variables(self, scope: Scope, node: Node) -> dict[str, Bound]:
        """Its environment variables, with what they read of the graph around it."""
        return {
            name: self._resolve(scope, text, f'node "{scope.prefix}{node.name}", environment_variables.{name}')
            if any(reference.path.startswith("parent.") for reference in references(text))
            else Bound(text)
            for name, text in node.environment_variables.items()
        }

    def _process_count(self, scope: Scope, name: str, distribution: Distribution | None) -> int:
        if distribution is None or distribution.type in RUN_ONCE:
            return 1
        where = f'node "{name}", distribution'
        if distribution.type != "pytorch":
            raise SpecError(
                f'{where}: the type "{distribution.type}" is none; there are pytorch, {", ".join(RUN_ONCE)}'
            )
        count = self._resolve(scope, distribution.process_count, where).value
        if not isinstance(count, str) or not count.isdecimal() or int(count) < 1:
            raise SpecError(f'{where}: the number of processes must be 1 or more, got "{count}"')
        return int(count)


def _ports(node: Node) -> Iterable[Port]:
    return node.component.inputs.values()


def _check_names(scope: Scope, node: Node) -> None:
    for kind, given, declared in (
        ("input", node.inputs, node.component.inputs),
        ("output", node.outputs, node.component.outputs),
    ):
        for name in set(given) - set(declared):
            raise SpecError(
                f'node "{scope.prefix}{node.name}", {kind} "{name}": the component "{node.component.name}" '
                f"has no such {kind}{did_you_mean(name, declared)}"
            )


def _needs(bounds: Iterable[Bound]) -> frozenset[str]:
    return frozenset().union(*(bound.needs for bound in bounds))


def _text(path: str, bound: Bound) -> str:
    if bound.value is None:
        raise SpecError(f'"{path}" has no value')
    return str(bound.value.path) if isinstance(bound.value, Data) else bound.value


def _as_given(value: Value | None, port: Port, node: str) -> str | Path | None:
    """A literal as Azure writes one of the port's type into a command, or where the data are."""
    where = f'node "{node}", input "{port.name}"'
    if value is None:
        return None
    if isinstance(value, Data):
        if not port.is_data:
            raise SpecError(f"{where} takes a {port.type}, but is given the data at {value.path}")
        return value.path
    if port.is_data:
        raise SpecError(f'{where} takes data ({port.type}), but is given the text "{value}"')
    return _literal(value, port, where)


def _spoken(value: str | Path | None, link: Path, links: dict[Path, Path]) -> str | None:
    """How a command names a value. Of data in a place whose name would mean something to a shell, a link to it."""
    if not isinstance(value, Path) or not SPECIAL.search(str(value)):
        return None if value is None else str(value)
    link = link if SPECIAL.search(value.suffix) else link.with_name(link.name + value.suffix)
    links[link] = value
    return str(link)


def _literal(text: str, port: Port, where: str) -> str:
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
