"""A job as the SDK sends it -> the pipeline that the engine runs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from azureml_local.assets import Assets, kind_of
from azureml_local.component_bodies import Components, NotSpokenError
from azureml_local.node_bodies import (
    compute_of,
    distribution_of,
    given_ports,
    instances_of,
    node_outputs,
    node_values,
    seconds_of,
    sweep_of,
    texts,
    values,
    writable,
)
from azureml_local.spec import Component, Graph, Node, Output, Pipeline, Port, SpecError, Value, all_nodes

Json = dict[str, Any]

__all__ = ["NotSpokenError", "pipeline_of"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}")
_SEARCH_SPACE = re.compile(r"\$\{\{\s*search_space\.([\w-]+)\s*\}\}")


def pipeline_of(name: str, properties: Json, assets: Assets) -> Pipeline:
    """The pipeline that a job's body describes; a stand-alone job becomes a pipeline of one node.

    Raises SpecError, naming node and field, for a body that cannot be run, and NotSpokenError for what we do not speak.
    """
    if not _NAME.fullmatch(name):
        raise SpecError(f'name: "{name:.300}" cannot be a job\'s name: it takes up to 200 letters, digits, "-" and "_"')
    match properties.get("jobType"):
        case "Pipeline":
            return _with_versions_of_their_own(_pipeline(name, properties, assets))
        case "Command":
            return _alone(name, properties, _command_node(name, properties, assets))
        case "Sweep":
            return _alone(name, properties, _sweep_node(name, properties, assets))
    raise NotSpokenError(f'jobs of type "{properties.get("jobType")}"')


def _pipeline(name: str, properties: Json, assets: Assets) -> Pipeline:
    settings, components = properties.get("settings") or {}, Components(assets)
    inputs = values(properties.get("inputs"), "", assets)
    outputs = node_outputs(properties.get("outputs"), "", name, assets)
    if properties.get("jobs"):
        nodes = components.nodes(properties["jobs"])
    elif properties.get("componentId"):
        graph = components.graph(properties["componentId"])
        nodes, inputs = graph.nodes, _given_to(graph, inputs)
        outputs = {port.name: Output(type=port.type) for port in graph.outputs.values()} | outputs
    else:
        raise SpecError("jobs: the pipeline has no nodes")
    return Pipeline(
        name=name,
        experiment_name=properties.get("experimentName") or "Default",
        display_name=properties.get("displayName") or name,
        inputs=inputs,
        writable=writable(properties.get("inputs")),
        outputs=outputs,
        nodes=nodes,
        tags=texts(properties.get("tags")),
        compute=compute_of(properties.get("computeId") or settings.get("default_compute")),
        continue_on_step_failure=_is_true(settings.get("continue_on_step_failure", True)),
        force_rerun=_is_true(settings.get("force_rerun")),
    )


def _given_to(graph: Graph, given: dict[str, Value | None]) -> dict[str, Value | None]:
    """The inputs of a job that is a pipeline component alone: what it is given, and the component's defaults.

    Raises SpecError for one that the component does not have, and for one that is required and not given.
    """
    if unknown := sorted(set(given) - set(graph.inputs)):
        known = ", ".join(graph.inputs) or "none"
        raise SpecError(f'inputs: the job\'s component has no input "{unknown[0]}"; there are {known}')
    inputs = {port.name: given.get(port.name, port.default) for port in graph.inputs.values()}
    if missing := [name for name, value in inputs.items() if value is None and not graph.inputs[name].optional]:
        raise SpecError(f'inputs: the job does not give "{missing[0]}", which its component requires')
    return inputs


def _with_versions_of_their_own(pipeline: Pipeline) -> Pipeline:
    """The pipeline, unless two of its outputs would become one version of an asset."""
    places = {f'output "{name}"': output for name, output in pipeline.outputs.items()}
    for node_name, node in all_nodes(pipeline.nodes):
        places |= {f'node "{node_name}", output "{name}"': output for name, output in node.outputs.items()}
    owners: dict[tuple[str, str, str], str] = {}
    for place, output in places.items():
        if output.asset_name and output.asset_version:
            version = kind_of(output.type), output.asset_name, output.asset_version
            if version in owners:
                asset = f"{output.asset_name}:{output.asset_version}"
                raise SpecError(f"{place}: {owners[version]} becomes {asset} already; give another version, or none")
            owners[version] = place
    return pipeline


def _alone(name: str, properties: Json, node: Node) -> Pipeline:
    experiment = properties.get("experimentName") or "Default"
    title = properties.get("displayName") or name
    return Pipeline(name=name, experiment_name=experiment, nodes={name: node}, display_name=title)


def _command_node(name: str, properties: Json, assets: Assets) -> Node:
    """The node of a command job: its inputs and outputs are the job's, their types are read off what was given."""
    components = Components(assets)
    inputs = node_values(properties.get("inputs"), "the job", assets)
    outputs = node_outputs(properties.get("outputs"), "the job", name, assets)
    component = Component(
        name=name,
        version="1",
        command=properties["command"],
        code=components.code(properties.get("codeId")),
        environment=components.environment(properties.get("environmentId") or ""),
        inputs={key: port for key, port in given_ports(properties.get("inputs")).items() if key in inputs},
        outputs={key: Port(name=key, type=output.type or "uri_folder") for key, output in outputs.items()},
    )
    return Node(
        name=name,
        job_name=name,
        component=component,
        inputs=inputs,
        writable=writable(properties.get("inputs")),
        outputs=outputs,
        distribution=distribution_of(properties.get("distribution")),
        environment_variables=texts(properties.get("environmentVariables")),
        instance_count=instances_of(properties.get("resources")),
        timeout=seconds_of((properties.get("limits") or {}).get("timeout"), "the job, limits.timeout"),
        display_name=properties.get("displayName") or name,
        tags=texts(properties.get("tags")),
        compute=compute_of(properties.get("computeId")),
    )


def _sweep_node(name: str, properties: Json, assets: Assets) -> Node:
    """The node of a sweep job: what its command reads from the search space are inputs like the others."""
    trial = properties.get("trial") or {}
    if not trial.get("command"):
        raise SpecError("trial.command: a sweep needs a command")
    shared = {key: properties.get(key) for key in ("inputs", "outputs", "displayName", "tags", "computeId")}
    node = _command_node(name, {**trial, **shared}, assets)
    assert isinstance(node.component, Component)
    sweep = sweep_of(properties, "the job")
    sampled = {key: Port(name=key, type="string") for key in sweep.search_space}
    component = replace(
        node.component,
        command=_SEARCH_SPACE.sub(r"${{inputs.\1}}", node.component.command),
        inputs={**node.component.inputs, **sampled},
    )
    return replace(node, component=component, sweep=sweep)


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"
