"""What a YAML file describes, and the fields that Azure ML knows for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azureml_local.spec import DATA_TYPES

PIPELINE_JOB, COMMAND_JOB, SWEEP_JOB, OTHER_JOB = "pipeline job", "command job", "sweep job", "job"
PIPELINE_COMPONENT, COMMAND_COMPONENT = "pipeline component", "command component"
OTHER_COMPONENT = "component"
ENDPOINT, DEPLOYMENT, ENVIRONMENT = "online endpoint", "online deployment", "environment"
COMPUTE, ASSET, NODE, OTHER_NODE = "compute", "asset", "node", "other node"

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
JOBS = {"pipeline": PIPELINE_JOB, "command": COMMAND_JOB, "sweep": SWEEP_JOB}
COMPONENTS = {"pipeline": PIPELINE_COMPONENT, "command": COMMAND_COMPONENT}
CONTROL_FLOW = frozenset({"if_else", "do_while", "parallel_for"})
OTHER_TYPES = frozenset(
    {"spark", "parallel", "automl", "import", "data_transfer", "base", "finetuning", "distillation", "flow_parallel"}
)
KNOWN_TYPES = frozenset(JOBS) | OTHER_TYPES | CONTROL_FLOW

_ASSET = {"$schema", "id", "name", "version", "description", "tags", "properties", "creation_context", "latest_version"}
_ASSET |= {"auto_delete_setting", "intellectual_property", "stage"}
_COMPONENT = _ASSET | {"type", "display_name", "is_deterministic", "inputs", "outputs"}
_JOB = {"$schema", "id", "name", "type", "display_name", "description", "experiment_name", "tags", "properties"}
_JOB |= {"inputs", "outputs", "compute", "identity", "services", "status", "log_files", "creation_context"}
_COMMAND = {"command", "code", "environment", "distribution", "resources"}
_SWEEP = {"trial", "search_space", "sampling_algorithm", "objective", "limits", "early_termination", "queue_settings"}
_SERVING = {
    "$schema",
    "id",
    "name",
    "description",
    "tags",
    "properties",
    "provisioning_state",
    "creation_context",
    "type",
}
_PROBES = {"liveness_probe", "readiness_probe", "startup_probe", "request_settings", "scale_settings"}

FIELDS: Mapping[str, set[str]] = {
    COMMAND_COMPONENT: _COMPONENT | _COMMAND | {"additional_includes"},
    PIPELINE_COMPONENT: _COMPONENT | {"jobs"},
    COMMAND_JOB: _JOB
    | _COMMAND
    | {"environment_variables", "limits", "queue_settings", "parameters", "parent_job_name"},
    PIPELINE_JOB: _JOB | {"jobs", "settings", "component"},
    SWEEP_JOB: _JOB | _SWEEP | {"resources"},
    NODE: _JOB
    | _COMMAND
    | _SWEEP
    | {"component", "comment", "environment_variables", "settings", "jobs", "additional_includes"},
    ENDPOINT: _SERVING
    | {"auth_mode", "identity", "kind", "location", "mirror_traffic", "openapi_uri", "scoring_uri", "traffic"}
    | {"public_network_access", "compute"},
    DEPLOYMENT: _SERVING
    | _PROBES
    | {"endpoint_name", "model", "model_mount_path", "code_configuration", "environment", "environment_variables"}
    | {"instance_type", "instance_count", "app_insights_enabled", "data_collector", "egress_public_network_access"}
    | {"private_network_connection", "resources"},
    ENVIRONMENT: _ASSET | {"image", "conda_file", "build", "inference_config", "os_type", "datastore"},
    COMPUTE: {"$schema", "id", "name", "type", "description", "tags", "size", "tier", "min_instances", "max_instances"}
    | {"idle_time_before_scale_down", "location", "identity", "network_settings", "ssh_settings", "resource_id"}
    | {"ssh_public_access_enabled", "enable_node_public_ip", "created_on", "provisioning_state", "provisioning_errors"},
}
REQUIRED: Mapping[str, tuple[str, ...]] = {
    COMMAND_COMPONENT: ("command", "environment"),
    COMMAND_JOB: ("command", "environment"),
    SWEEP_JOB: ("trial", "search_space", "objective", "limits"),
    ENVIRONMENT: ("name",),
    COMPUTE: ("name", "type"),
}
NODE_ONLY = {"compute", "limits", "identity", "services", "environment_variables", "queue_settings"}
NODE_OUTPUT_ONLY = {"path", "name", "version"}
PORT = {"type", "description", "optional", "default", "min", "max", "enum", "mode", "datastore", "properties"}
PORT |= {"is_control", "early_available", "intellectual_property", "values", "is_resource", "path", "name", "version"}
SETTINGS = {"default_compute", "default_datastore", "continue_on_step_failure", "force_rerun", "on_init", "on_finalize"}
SETTINGS |= {"default_limits", "continue_on_failed_optional_input", "component_type", "force_rerun_skip_output_check"}
DISTRIBUTION = {"type", "process_count_per_instance", "worker_count", "parameter_server_count", "port", "address"}
DISTRIBUTION |= {"include_dashboard", "dashboard_port", "head_node_additional_args", "worker_node_additional_args"}

_OF_A_PORT = {"optional", "default", "enum", "min", "max"}
_OF_A_JOB = {"compute", "experiment_name", "settings", "limits", "services", "environment_variables"}


def kind_of(value: Any, is_component: bool = False) -> str | None:
    """What a file's mapping describes; None for what is not checked.

    is_component: whether a node names the file as its component.
    """
    if not isinstance(value, Mapping):
        return None
    schema, kind = schema_of(value), type_of(value)
    said = SCHEMAS.get(schema)
    if said in (ENDPOINT, DEPLOYMENT, ENVIRONMENT, ASSET) and not is_component:
        return said
    if kind == "amlcompute":
        return COMPUTE
    if kind in DATA_TYPES and "path" in value:
        return ASSET
    if kind in OTHER_TYPES or (schema and said is None):
        return (OTHER_COMPONENT if is_component else OTHER_JOB) if kind in OTHER_TYPES else None
    if not kind and said is None and not is_component:
        return _by_shape(value)
    kind = kind if kind in JOBS else _type_by_shape(value, said)
    if is_component or _is_component(value, said):
        return COMPONENTS.get(kind, OTHER_COMPONENT)
    return JOBS[kind]


def type_of(value: Mapping[str, Any]) -> str:
    """The type that a mapping gives; empty where it gives none that is a word."""
    kind = value.get("type")
    return kind if isinstance(kind, str) else ""


def schema_of(value: Mapping[str, Any]) -> str:
    """The name in its `$schema`: pipelineJob."""
    address = str(value.get("$schema") or "")
    return address.rpartition("/")[2].removesuffix(".schema.json")


def _type_by_shape(value: Mapping[str, Any], said: str | None) -> str:
    if "jobs" in value or said in (PIPELINE_JOB, PIPELINE_COMPONENT):
        return "pipeline"
    return "sweep" if "trial" in value or said == SWEEP_JOB else "command"


def _is_component(value: Mapping[str, Any], said: str | None) -> bool:
    """By what only one of the two has; by its `$schema` where it has neither."""
    inputs = value.get("inputs")
    given = list(inputs.values()) if isinstance(inputs, Mapping) else []
    mappings = [port for port in given if isinstance(port, Mapping)]
    if len(mappings) < len(given) or any("path" in port for port in mappings):
        return False
    if {"version", "is_deterministic"} & set(value) or any(_OF_A_PORT & set(port) for port in mappings):
        return True
    if said is not None:
        return said in COMPONENTS.values()
    return bool(mappings) and not _OF_A_JOB & set(value)


def _by_shape(value: Mapping[str, Any]) -> str | None:
    """Without `$schema` and type: only what is unmistakable."""
    if isinstance(value.get("jobs"), Mapping) and not {"on", "name"} >= set(value):
        return PIPELINE_JOB if _has_nodes(value["jobs"]) else None
    if "endpoint_name" in value and "model" in value:
        return DEPLOYMENT
    if "auth_mode" in value and "name" in value:
        return ENDPOINT
    if "command" in value and "environment" in value:
        return COMPONENTS["command"] if _is_component(value, None) else COMMAND_JOB
    if "name" in value and ("conda_file" in value or ("image" in value and len(value) <= 4)):
        return ENVIRONMENT
    return None


def _has_nodes(jobs: Mapping[str, Any]) -> bool:
    nodes = [node for node in jobs.values() if isinstance(node, Mapping)]
    return any("component" in node or ("command" in node and "environment" in node) for node in nodes)
