"""A job as the SDK sends it -> the pipeline that the engine runs."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from azureml_local.arm_ids import short_name
from azureml_local.assets import Assets
from azureml_local.spec import (
    Component,
    Data,
    Distribution,
    Environment,
    Node,
    Output,
    Pipeline,
    Port,
    SpecError,
    Value,
)

Json = dict[str, Any]


class NotSpokenError(SpecError):
    """A job that Azure ML runs and the local workspace does not; its text is the thing that is not spoken."""


def pipeline_of(name: str, properties: Json, assets: Assets) -> Pipeline:
    """The pipeline that a job's body describes; a command job becomes a pipeline of one node.

    Raises SpecError, naming node and field, for a body that cannot be run, and NotSpokenError for what we do not speak.
    """
    match properties.get("jobType"):
        case "Pipeline":
            return _pipeline(name, properties, assets)
        case "Command":
            return _command_job(name, properties, assets)
    raise NotSpokenError(f'jobs of type "{properties.get("jobType")}"')


def _pipeline(name: str, properties: Json, assets: Assets) -> Pipeline:
    settings = properties.get("settings") or {}
    nodes = properties.get("jobs") or {}
    if not nodes:
        raise SpecError("jobs: the pipeline has no nodes")
    return Pipeline(
        name=name,
        experiment_name=properties.get("experimentName") or "Default",
        display_name=properties.get("displayName") or name,
        inputs=_inputs(properties.get("inputs"), "", assets),
        outputs={name: Output(type=port.type) for name, port in _outputs(properties.get("outputs")).items()},
        nodes={node: _node(node, body, assets) for node, body in nodes.items()},
        continue_on_step_failure=bool(settings.get("continue_on_step_failure")),
    )


def _node(name: str, body: Json, assets: Assets) -> Node:
    if body.get("type") != "command":
        raise NotSpokenError(f'nodes of type "{body.get("type")}" (node "{name}")')
    return Node(
        name=name,
        job_name=str(uuid4()),
        component=_component(f'node "{name}"', str(body.get("componentId")), assets),
        inputs={key: value for key, value in _inputs(body.get("inputs"), name, assets).items() if value is not None},
        outputs={
            key: Output(target=output["value"])
            for key, output in (body.get("outputs") or {}).items()
            if "value" in output
        },
        distribution=_distribution(body.get("distribution")),
        environment_variables=_texts(body.get("environment_variables")),
        display_name=body.get("display_name") or name,
    )


def _command_job(name: str, properties: Json, assets: Assets) -> Pipeline:
    """Its inputs and outputs are those of the one node; their types are read off what was given."""
    experiment = properties.get("experimentName") or "Default"
    inputs = {key: value for key, value in _inputs(properties.get("inputs"), "", assets).items() if value is not None}
    ports = {key: Port(name=key, type=_given_type(given)) for key, given in (properties.get("inputs") or {}).items()}
    component = Component(
        name=name,
        version="1",
        command=properties["command"],
        code=_code(properties.get("codeId"), assets),
        environment=Environment(name=short_name(properties.get("environmentId") or "")),
        inputs={key: port for key, port in ports.items() if key in inputs},
        outputs=_outputs(properties.get("outputs")),
    )
    node = Node(
        name=name,
        job_name=name,
        component=component,
        inputs=inputs,
        distribution=_distribution(properties.get("distribution")),
        environment_variables=_texts(properties.get("environmentVariables")),
        display_name=properties.get("displayName") or name,
    )
    return Pipeline(name=name, experiment_name=experiment, nodes={name: node}, display_name=node.display_name)


def _component(where: str, reference: str, assets: Assets) -> Component:
    if "/registries/" in reference:
        raise NotSpokenError(f"registries ({where}, component {reference})")
    found = assets.find("components", reference)
    if not found:
        raise SpecError(f"{where}, component: the local workspace has no component {short_name(reference)}")
    body = found.body["properties"]["componentSpec"]
    if body.get("type") != "command":
        raise NotSpokenError(f'components of type "{body.get("type")}" as nodes ({where})')
    return Component(
        name=found.name,
        version=found.version,
        command=body["command"],
        code=_code(body.get("code"), assets),
        environment=Environment(name=short_name(body.get("environment") or "")),
        inputs={name: _port(name, port) for name, port in (body.get("inputs") or {}).items()},
        outputs={name: _port(name, port) for name, port in (body.get("outputs") or {}).items()},
        distribution=_distribution(body.get("distribution")),
        environment_variables=_texts(body.get("environment_variables")),
        is_deterministic=bool(body.get("is_deterministic", True)),
        display_name=body.get("display_name") or "",
    )


def _port(name: str, body: Json) -> Port:
    default = body.get("default")
    return Port(
        name=name,
        type=body.get("type", "string"),
        optional=str(body.get("optional", "")).lower() == "true",
        default=None if default is None else str(default),
    )


def _code(reference: str | None, assets: Assets) -> Path | None:
    return assets.locate(reference) if reference else None


def _inputs(inputs: Json | None, node: str, assets: Assets) -> dict[str, Value | None]:
    where = f'node "{node}", ' if node else ""
    return {name: _value(given, f'{where}input "{name}"', assets) for name, given in (inputs or {}).items()}


def _value(given: Json | str | None, where: str, assets: Assets) -> Value | None:
    """A literal's text, the data that an address means, or None for an input without a value."""
    if not isinstance(given, dict):
        return None if given is None else str(given)
    if uri := given.get("uri"):
        try:
            return Data(path=assets.locate(uri))
        except SpecError as error:
            raise SpecError(f"{where}: {error}") from None
    value = given.get("value")
    return None if value is None else str(value)


def _given_type(given: Json) -> str:
    kind = given.get("jobInputType", "literal")
    return "string" if kind == "literal" else kind


def _outputs(outputs: Json | None) -> dict[str, Port]:
    return {
        name: Port(name=name, type=(given or {}).get("jobOutputType", "uri_folder"))
        for name, given in (outputs or {}).items()
    }


def _distribution(body: Json | None) -> Distribution | None:
    if not body:
        return None
    kind = body.get("distribution_type") or body.get("distributionType") or body.get("type") or ""
    count = body.get("process_count_per_instance") or body.get("processCountPerInstance") or 1
    return Distribution(type=kind.lower(), process_count=str(count))


def _texts(variables: Json | None) -> dict[str, str]:
    return {name: str(value) for name, value in (variables or {}).items()}
