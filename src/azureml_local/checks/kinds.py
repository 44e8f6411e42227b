"""What a YAML file describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azureml_local.spec import DATA_TYPES

PIPELINE_JOB, COMMAND_JOB, SWEEP_JOB, OTHER_JOB = "pipeline job", "command job", "sweep job", "job"
PIPELINE_COMPONENT, COMMAND_COMPONENT = "pipeline component", "command component"
OTHER_COMPONENT = "component"
ENDPOINT, DEPLOYMENT, ENVIRONMENT = "online endpoint", "online deployment", "environment"
COMPUTE, ASSET, NODE, OTHER_NODE, TRIAL = "compute", "asset", "node", "other node", "trial"

SCHEMAS = {
    "pipelineJob": PIPELINE_JOB,
    "commandJob": COMMAND_JOB,
    "sweepJob": SWEEP_JOB,
    "pipelineComponent": PIPELINE_COMPONENT,
    "commandComponent": COMMAND_COMPONENT,
    "managedOnlineEndpoint": ENDPOINT,
    "kubernetesOnlineEndpoint": ENDPOINT,
    "managedOnlineDeployment": DEPLOYMENT,
    "kubernetesOnlineDeployment": DEPLOYMENT,
    "environment": ENVIRONMENT,
    "amlCompute": COMPUTE,
    "data": ASSET,
    "model": ASSET,
}
SERVING_TYPES = frozenset({"managed", "kubernetes"})
JOB_TYPES = {"pipeline": PIPELINE_JOB, "command": COMMAND_JOB, "sweep": SWEEP_JOB}
COMPONENT_TYPES = {"pipeline": PIPELINE_COMPONENT, "command": COMMAND_COMPONENT}
CONTROL_FLOW = frozenset({"if_else", "do_while", "parallel_for"})
OTHER_TYPES = frozenset(
    {"spark", "parallel", "automl", "import", "data_transfer", "base", "finetuning", "distillation", "flow_parallel"}
)
KNOWN_TYPES = frozenset(JOB_TYPES) | OTHER_TYPES
NODE_TYPES = KNOWN_TYPES - {"base", "finetuning", "distillation", "flow_parallel"} | CONTROL_FLOW

TYPED = frozenset({COMMAND_COMPONENT, PIPELINE_COMPONENT})
JOBS = frozenset({PIPELINE_JOB, COMMAND_JOB, SWEEP_JOB})
WITH_INPUTS = TYPED | JOBS | {NODE}
WITH_OUTPUTS = JOBS | {NODE}  # that they give places and names

_BY_SCHEMA = {name.lower(): kind for name, kind in SCHEMAS.items()}
_OF_A_PORT = {"optional", "default", "enum", "min", "max"}
_OF_A_COMPONENT = {"version", "is_deterministic"}
_ONLY_OF_A_JOB = {"compute", "experiment_name", "settings"}
_OF_A_JOB = _ONLY_OF_A_JOB | {"limits", "services", "environment_variables"}
_RUNS = {"command", "trial", "jobs"}
_OF_BATCHES = {"compute", "mini_batch_size", "output_action", "retry_settings", "max_concurrency_per_instance"}


def kind_of(value: Any, is_component: bool = False) -> str | None:
    """What a file's mapping describes; None for what is not checked.

    is_component: whether a node names the file as its component.
    """
    if not isinstance(value, Mapping):
        return None
    schema, kind = schema_of(value), type_of(value)
    said = said_by(value)
    if said in (ENDPOINT, DEPLOYMENT, ENVIRONMENT, COMPUTE, ASSET) and not is_component:
        return said
    if kind.lower() == "amlcompute":
        return COMPUTE
    if kind.lower() in SERVING_TYPES and not (schema or is_component or "resource_id" in value):
        return DEPLOYMENT if {"endpoint_name", "model", "code_configuration"} & set(value) else ENDPOINT
    if kind in DATA_TYPES and "path" in value:
        return ASSET
    if kind in OTHER_TYPES or (schema and said is None):
        return (OTHER_COMPONENT if is_component else OTHER_JOB) if kind in OTHER_TYPES else None
    if said is None and not is_component and not (kind in JOB_TYPES or (kind and _RUNS & set(value))):
        return None if kind else _by_shape(value)
    kind = kind if kind in JOB_TYPES else _type_by_shape(value, said)
    if is_component or _is_component(value, said):
        return COMPONENT_TYPES.get(kind, OTHER_COMPONENT)
    return JOB_TYPES[kind]


def type_of(value: Mapping[str, Any]) -> str:
    """The type that a mapping gives; empty where it gives none that is a word."""
    kind = value.get("type")
    return kind if isinstance(kind, str) else ""


def node_type(value: Mapping[str, Any]) -> str:
    """The type that a node gives, which unlike a job's may be in any case; one without a type runs a command."""
    return type_of(value).lower() or "command"


def schema_of(value: Mapping[str, Any]) -> str:
    """The name in its `$schema`: pipelineJob."""
    address = str(value.get("$schema") or "").rstrip("#")
    return address.rpartition("/")[2].removesuffix(".json").removesuffix(".schema")


def said_by(value: Mapping[str, Any]) -> str | None:
    """The kind that its `$schema` names, in whatever case; None where it names none of these."""
    return _BY_SCHEMA.get(schema_of(value).lower())


def _type_by_shape(value: Mapping[str, Any], said: str | None) -> str:
    if "jobs" in value or said in (PIPELINE_JOB, PIPELINE_COMPONENT):
        return "pipeline"
    return "sweep" if "trial" in value or said == SWEEP_JOB else "command"


def _is_component(value: Mapping[str, Any], said: str | None) -> bool:
    """By what only one of the two has; by its `$schema` where it has neither, or both."""
    inputs = value.get("inputs")
    given = list(inputs.values()) if isinstance(inputs, Mapping) else []
    mappings = [port for port in given if isinstance(port, Mapping)]
    has_ports = any(_OF_A_PORT & set(port) and "path" not in port for port in mappings)
    is_given = len(mappings) < len(given) or any("path" in port for port in mappings)
    of_component = bool(_OF_A_COMPONENT & set(value)) or has_ports
    of_job = bool(_ONLY_OF_A_JOB & set(value)) or is_given
    if of_component != of_job:
        return of_component
    if said is not None:
        return said in COMPONENT_TYPES.values()
    if of_component:
        return bool(_OF_A_COMPONENT & set(value))
    return bool(mappings) and not _OF_A_JOB & set(value)


def _by_shape(value: Mapping[str, Any]) -> str | None:
    """Without `$schema` and type: only what is unmistakable."""
    if isinstance(value.get("jobs"), Mapping) and not {"on", "name"} >= set(value):
        return PIPELINE_JOB if _has_nodes(value["jobs"]) else None
    if "endpoint_name" in value and "model" in value:
        return None if _OF_BATCHES & set(value) else DEPLOYMENT
    if "auth_mode" in value and "name" in value:
        return None if "defaults" in value else ENDPOINT  # which an endpoint for batches has
    if "command" in value and "environment" in value:
        return COMPONENT_TYPES["command"] if _is_component(value, None) else COMMAND_JOB
    if "name" in value and ("conda_file" in value or ("image" in value and len(value) <= 4)):
        return ENVIRONMENT
    return None


def _has_nodes(jobs: Mapping[str, Any]) -> bool:
    nodes = [node for node in jobs.values() if isinstance(node, Mapping)]
    return any("component" in node or ("command" in node and "environment" in node) for node in nodes)


def article(kind: str) -> str:
    """A kind in a sentence: a pipeline job, an environment."""
    return f"a{'n' if kind[0] in 'aeiou' else ''} {kind}"
