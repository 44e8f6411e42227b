"""From YAML files to the model of a job: the same that a submission becomes, so that the same rules look at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from azureml_local.checks import kinds
from azureml_local.checks.compute_files import instance_types
from azureml_local.checks.model_values import distribution_of, environment_of, given, literal, ports, search_space
from azureml_local.checks.sections import NAME_AND_VERSION, Section, exists, is_file, local_path, strings
from azureml_local.checks.table import Problem, Where, problem, reading_rule
from azureml_local.checks.yaml_tree import Document, UnreadableError, read
from azureml_local.expressions import OPENS
from azureml_local.spec import Component, Data, Graph, Node, Output, Pipeline, Port, Sweep, Value

NOT_YAML = reading_rule("not-yaml", "A file is YAML: one document, of a size and depth that people write.")
MISSING_COMPONENT = reading_rule("missing-component", "The component of a node is there.")
WRONG_COMPONENT = reading_rule("wrong-component", "A node's type is that of its component.")
INCLUDES_ITSELF = reading_rule("includes-itself", "A pipeline component does not contain itself.")
DEEPEST = 20  # pipeline components in one another
OPEN = Component(name="", version="", command="", code=None, interface_known=False)
# What a node's other fields hold is read for its expressions.
READ_ELSEWHERE = {"inputs", "outputs", "component", "trial", "command", "jobs"}


class Model:
    """What a file describes, the files that it takes in, and what was wrong with reading them."""

    def __init__(self, document: Document) -> None:
        self.root = document
        self.documents: dict[Path, Document] = {document.path.resolve(): document}
        self.sections: list[Section] = []
        self.problems: list[tuple[Document, Problem]] = []
        self._components: dict[Path, Component | Graph] = {}
        self._around: list[Path] = [document.path.resolve()]

    def pipeline(self, value: Mapping[str, Any], kind: str) -> Pipeline:
        """A job of one of the kinds that are checked."""
        section = self._section(self.root, (), value, kind)
        if kind != kinds.PIPELINE_JOB or ("component" in value and "jobs" not in value):
            node = self._node(section, "job", default_compute=None, is_job=True)
            return Pipeline(name="job", experiment_name="", nodes={"job": node})
        inputs = {name: given(raw) for name, raw in section.mapping("inputs").items()}
        return Pipeline(
            name="",
            experiment_name="",
            inputs=inputs,
            outputs={name: Output() for name in section.mapping("outputs")},
            nodes=self._nodes(section, section.mapping("settings").get("default_compute") or value.get("compute")),
        )

    def component(self, document: Document, where: Where, value: Mapping[str, Any], kind: str) -> Component | Graph:
        """A component, as the root of a file or inline."""
        section = self._section(document, where, value, kind)
        name, version = str(value.get("name") or ""), str(value.get("version") or "")
        inputs, outputs = ports(value.get("inputs")), ports(value.get("outputs"))
        if kind == kinds.PIPELINE_COMPONENT:
            nodes = self._nodes(section, None)
            return Graph(name=name, version=version, inputs=inputs, outputs=outputs, nodes=nodes)
        command = value.get("command")
        return Component(
            name=name,
            version=version,
            command=command if isinstance(command, str) else "",
            code=None,
            environment=environment_of(document, value.get("environment")),
            inputs=inputs,
            outputs=outputs,
            distribution=distribution_of(value.get("distribution")),
        )

    def file(self, path: Path) -> Document:
        """A file that another names. Raises UnreadableError."""
        resolved = path.resolve()
        if resolved not in self.documents:
            self.documents[resolved] = read(path)
        return self.documents[resolved]

    def _section(self, document: Document, where: Where, value: Mapping[str, Any], kind: str) -> Section:
        section = Section(document, where, value, kind)
        self.sections.append(section)
        return section

    def _nodes(self, section: Section, default_compute: object) -> dict[str, Node]:
        nodes = {}
        for name, raw in section.mapping("jobs").items():
            value = raw if isinstance(raw, Mapping) else {}
            kind = kinds.NODE if kinds.node_type(value) in kinds.JOB_TYPES else kinds.OTHER_NODE
            inner = self._section(section.document, section.at("jobs", name), value, kind)
            nodes[name] = self._node(inner, name, default_compute)
        return nodes

    def _node(self, section: Section, name: str, default_compute: object, is_job: bool = False) -> Node:
        fields, document = section.fields, section.document
        component = self._used(section, is_job)
        if not is_job:
            self._compare_types(section)
        section.taken.update(component.inputs)
        inputs = {key: given(raw) for key, raw in section.mapping("inputs").items()}
        known = {key: value for key, value in inputs.items() if value is not None}
        return Node(
            name=name,
            job_name="",
            component=component,
            inputs={key: _fitting(document, value, component.inputs.get(key)) for key, value in known.items()},
            outputs={key: _output(raw) for key, raw in section.mapping("outputs").items()},
            distribution=distribution_of(fields.get("distribution")),
            sweep=_sweep(section) if "search_space" in fields else None,
            environment_variables=dict.fromkeys(section.mapping("environment_variables"), ""),  # texts: see settings
            settings={} if is_job else dict(_settings(fields)),
            instance_types=instance_types(document.path, fields, default_compute),
        )

    def _compare_types(self, section: Section) -> None:
        """A node without a type is what its component is."""
        said = kinds.type_of(section.fields).lower()
        there = self._type_of_used(section)
        if not (said in kinds.NODE_TYPES and there in kinds.KNOWN_TYPES):
            return
        if said == "sweep" and there != "command":
            message = f'the trial of the sweep "{section.where[-1]}" is a {there}: a sweep tries a command'
            self._complain(section.document, WRONG_COMPONENT, section.at("trial"), message)
        elif said not in (there, "sweep"):
            message = (
                f'node "{section.where[-1]}" is of type {said}, and its component is a {there}: write type: {there}'
            )
            self._complain(section.document, WRONG_COMPONENT, section.at("type"), message)

    def _type_of_used(self, section: Section) -> str:
        """The type of the component that a node names or holds; empty where it is not known."""
        used = section.fields.get("trial" if kinds.node_type(section.fields) == "sweep" else "component")
        path = local_path(section.document, used)
        document = self.documents.get(path.resolve()) if path else None
        value = document.value if document else used
        if not isinstance(value, Mapping):
            return ""
        kind = kinds.kind_of(value, is_component=True)
        return next((name for name, its in kinds.COMPONENT_TYPES.items() if its == kind), kinds.type_of(value).lower())

    def _used(self, section: Section, is_job: bool) -> Component | Graph:
        """What a node runs: a file, a mapping, itself, or something that is registered."""
        fields, document = section.fields, section.document
        key = "trial" if kinds.node_type(fields) == "sweep" else "component"
        used = fields.get(key)
        if isinstance(used, str) and not (is_job and key == "trial"):  # of which another rule speaks
            return self._from_address(section, key, used)
        if isinstance(used, Mapping):
            if is_job or (key == "trial" and not {"inputs", "outputs"} & set(used)):
                if key == "trial":
                    self._section(document, section.at(key), used, kinds.TRIAL)
                return self._inline(section, used)
            if kinds.kind_of(used, is_component=True) == kinds.PIPELINE_COMPONENT:
                message = f'the pipeline of node "{section.where[-1]}" needs a file of its own, which "{key}" names'
                self._complain(document, MISSING_COMPONENT, section.at(key), message)
            return self._component(document, section.at(key), used)
        if "command" in fields and key == "component":
            return self._inline(section, fields)
        if "jobs" in fields and kinds.node_type(fields) == "pipeline":
            return self.component(document, section.where, fields, kinds.PIPELINE_COMPONENT)
        return OPEN

    def _inline(self, section: Section, run: Mapping[str, Any]) -> Component:
        """A command in the node itself: what it is given is what it declares."""
        command = run.get("command")
        return Component(
            name="",
            version="",
            command=command if isinstance(command, str) else "",
            code=None,
            environment=environment_of(section.document, run.get("environment")),
            inputs={name: Port(name=name, type="", optional=False) for name in section.mapping("inputs")},
            outputs={name: Port(name=name, type=_type(raw)) for name, raw in section.mapping("outputs").items()},
            distribution=distribution_of(run.get("distribution")),
        )

    def _from_address(self, section: Section, key: str, address: str) -> Component | Graph:
        path = local_path(section.document, address)
        if path is None:
            return OPEN
        if not is_file(path):
            name = f'"{section.where[-1]}"' if section.where else "the job"
            message = f"there is no file {path}, which {name} names as its {key}"
            if NAME_AND_VERSION.fullmatch(address):
                message += f"; a registered one is written azureml:{address}"
            self._complain(section.document, MISSING_COMPONENT, section.at(key), message)
            return OPEN
        resolved = path.resolve()
        if len(self._around) > DEEPEST:
            return OPEN
        if resolved in self._around:
            message = f"{path} contains itself: a pipeline component cannot be one of its own nodes"
            self._complain(section.document, INCLUDES_ITSELF, section.at(key), message)
            return OPEN
        if resolved not in self._components:
            self._around.append(resolved)
            self._components[resolved] = self._component_file(path)
            self._around.pop()
        return self._components[resolved]

    def _component_file(self, path: Path) -> Component | Graph:
        try:
            document = self.file(path)
        except UnreadableError as error:
            broken = Document(path, "", lines={(): error.line})
            self._complain(broken, NOT_YAML, (), f"the file {error}")
            return OPEN
        return self._component(document, (), document.value)

    def _component(self, document: Document, where: Where, value: Any) -> Component | Graph:
        if not isinstance(value, Mapping):
            self._complain(document, MISSING_COMPONENT, where, "this is no component, but a text, a list or nothing")
        kind = kinds.kind_of(value, is_component=True)
        return self.component(document, where, value, kind) if kind else OPEN

    def _complain(self, document: Document, rule: str, where: Where, message: str) -> None:
        self.problems.append((document, problem(rule, where, message)))


def _settings(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts with expressions that no other part of a node has. `${{name}}` in an output's path is Azure's own."""
    for where, text in strings({key: value for key, value in fields.items() if key not in READ_ELSEWHERE}):
        if OPENS in text:
            yield ".".join(where), text
    for where, text in strings({"outputs": fields.get("outputs")}):
        if "${{parent.inputs." in text:
            yield ".".join(where), text


def _fitting(document: Document, value: Value, port: Port | None) -> Value:
    """A text that is a path, where the component takes data: the SDK makes data of it."""
    if isinstance(value, Data) or port is None or not port.is_data or "${{" in value:
        return value
    path = local_path(document, value)
    is_path = path is None or "/" in value or exists(path)
    return Data(path=Path(value)) if is_path and not _is_number(value) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in {"True", "False"}
    return True


def _output(raw: Any) -> Output:
    target = raw if isinstance(raw, str) else raw.get("path") if isinstance(raw, Mapping) else None
    is_bound = isinstance(target, str) and (isinstance(raw, str) or "${{parent.outputs." in target)
    return Output(target=str(target) if is_bound else "")


def _type(raw: Any) -> str:
    return literal(raw.get("type", "uri_folder")) if isinstance(raw, Mapping) else "uri_folder"


def _sweep(section: Section) -> Sweep:
    space = search_space(section.mapping("search_space"))
    return Sweep(
        search_space=space, sampling="", seed=None, primary_metric="", maximize=True, max_trials=1, max_concurrent=1
    )
