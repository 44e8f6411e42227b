"""The fields that Azure ML knows of each kind of file: those of its SDK's schemas, and those that it writes itself."""

from __future__ import annotations

from collections.abc import Mapping

from azureml_local.checks.kinds import (
    ASSET,
    COMMAND_COMPONENT,
    COMMAND_JOB,
    COMPUTE,
    DEPLOYMENT,
    ENDPOINT,
    ENVIRONMENT,
    NODE,
    PIPELINE_COMPONENT,
    PIPELINE_JOB,
    SWEEP_JOB,
    TRIAL,
)

_ASSET = {"$schema", "id", "name", "version", "description", "tags", "properties", "creation_context", "latest_version"}
_ASSET |= {"auto_delete_setting", "intellectual_property", "stage"}
_COMPONENT = _ASSET | {"type", "display_name", "is_deterministic", "inputs", "outputs"}
_JOB = {"$schema", "id", "name", "type", "display_name", "description", "experiment_name", "tags", "properties"}
_JOB |= {"inputs", "outputs", "compute", "identity", "services", "status", "log_files", "creation_context"}
_COMMAND = {"command", "code", "environment", "distribution", "resources"}
_SWEEP = {"trial", "search_space", "sampling_algorithm", "objective", "limits", "early_termination", "queue_settings"}
_SERVING = {"$schema", "id", "name", "description", "tags", "properties", "provisioning_state", "creation_context"}
_PROBES = {"liveness_probe", "readiness_probe", "request_settings", "scale_settings"}

FIELDS: Mapping[str, set[str]] = {
    COMMAND_COMPONENT: _COMPONENT | _COMMAND | {"additional_includes"},
    PIPELINE_COMPONENT: _COMPONENT | {"jobs"},
    COMMAND_JOB: _JOB
    | _COMMAND
    | {"environment_variables", "limits", "queue_settings", "parameters", "parent_job_name"},
    PIPELINE_JOB: _JOB | {"jobs", "settings", "component"},
    SWEEP_JOB: _JOB | _SWEEP | {"resources"},
    TRIAL: _COMMAND | {"environment_variables", "queue_settings"},
    NODE: _JOB
    | _COMMAND
    | _SWEEP
    | {"component", "comment", "environment_variables", "settings", "jobs", "additional_includes"},
    ENDPOINT: _SERVING
    | {"auth_mode", "identity", "kind", "location", "mirror_traffic", "openapi_uri", "scoring_uri", "traffic"}
    | {"public_network_access", "compute"},
    DEPLOYMENT: _SERVING
    | _PROBES
    | {
        "type",
        "endpoint_name",
        "model",
        "model_mount_path",
        "code_configuration",
        "environment",
        "environment_variables",
    }
    | {"instance_type", "instance_count", "app_insights_enabled", "data_collector", "egress_public_network_access"}
    | {"private_network_connection", "resources"},
    ENVIRONMENT: _ASSET - {"properties", "stage"}
    | {"image", "conda_file", "build", "inference_config", "os_type", "datastore"},
    ASSET: _ASSET
    | {"type", "path", "datastore", "flavors", "job_name", "utc_time_created", "system_metadata", "source"}
    | {"default_deployment_template", "allowed_deployment_templates"},
    COMPUTE: {"$schema", "id", "name", "type", "description", "tags", "size", "tier", "min_instances", "max_instances"}
    | {"idle_time_before_scale_down", "location", "identity", "network_settings", "ssh_settings", "resource_id"}
    | {"ssh_public_access_enabled", "enable_node_public_ip", "created_on", "provisioning_state", "provisioning_errors"},
}
REQUIRED: Mapping[str, tuple[str, ...]] = {
    COMMAND_COMPONENT: ("command", "environment"),
    COMMAND_JOB: ("command", "environment"),
    SWEEP_JOB: ("trial", "search_space", "objective", "limits"),
    TRIAL: ("command", "environment"),
    ENVIRONMENT: ("name",),
    ASSET: ("path",),
    COMPUTE: ("name", "type"),
}
NODE_ONLY = {"compute", "limits", "identity", "services", "environment_variables", "queue_settings"}
NODE_OUTPUT_ONLY = {"path", "name", "version"}

# Of the inputs and outputs that a component declares, and of what a job or a node gives for them.
PORT = {"type", "description", "optional", "default", "min", "max", "enum", "mode", "datastore", "properties"}
PORT |= {"is_control", "early_available", "intellectual_property", "values", "is_resource", "path", "name", "version"}
DECLARED = {"optional", "default", "min", "max", "enum"}  # by a component alone: a rule of its own tells what to write
GIVEN_INPUT = DECLARED | {"type", "path", "mode", "value", "datastore", "path_on_compute"}
GIVEN_OUTPUT = {"type", "path", "mode", "name", "version"}

SETTINGS = {"default_compute", "default_datastore", "continue_on_step_failure", "force_rerun", "on_init", "on_finalize"}
SETTINGS |= {"default_limits", "continue_on_failed_optional_input", "component_type", "force_rerun_skip_output_check"}
