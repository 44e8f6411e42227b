"""What the fields of each kind of file hold, as the SDK's schemas have it."""

from __future__ import annotations

from collections.abc import Mapping

from azureml_local.checks.field_shapes import (
    ANYTHING,
    COUNT,
    FLAG,
    MILLISECONDS,
    NUMBER,
    SCALAR,
    SOMETHING,
    TEXT,
    WHOLE,
    WORD,
    ByType,
    Each,
    Fields,
    Items,
    One,
    OrNothing,
    Shape,
    TextOr,
    Within,
    is_number,
)
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
from azureml_local.checks.known_fields import FIELDS

# What a distribution of a sweep's search space is given by.
_ENDS, _NORMAL = ("min_value", "max_value"), ("mu", "sigma")
SPACES: Mapping[str, tuple[str, ...]] = {
    "choice": ("values",),
    **dict.fromkeys(("uniform", "loguniform"), _ENDS),
    **dict.fromkeys(("quniform", "qloguniform"), (*_ENDS, "q")),
    **dict.fromkeys(("normal", "lognormal"), _NORMAL),
    **dict.fromkeys(("qnormal", "qlognormal"), (*_NORMAL, "q")),
    "randint": ("upper",),
}
DISTRIBUTIONS: Mapping[str, Fields] = {
    "pytorch": Fields({"process_count_per_instance": COUNT}),
    "mpi": Fields({"process_count_per_instance": COUNT}),
    "tensorflow": Fields({"worker_count": WHOLE, "parameter_server_count": WHOLE}),
    "ray": Fields(
        {
            **dict.fromkeys(("port", "dashboard_port"), WHOLE),
            **dict.fromkeys(("address", "head_node_additional_args", "worker_node_additional_args"), TEXT),
            "include_dashboard": FLAG,
        }
    ),
}
SERVICES: Mapping[str, Fields] = {
    "ssh": Fields({"ssh_public_keys": TEXT}),
    "tensor_board": Fields({"log_dir": TEXT}),
    **dict.fromkeys(("jupyter_lab", "vs_code", "custom", "tracking", "studio", "ray_dashboard"), Fields({})),
}
TRIAL_LIMITS = ("max_total_trials", "max_concurrent_trials", "trial_timeout")  # that only a sweep has
ADDRESS_OR_ENVIRONMENT = "write azureml:NAME@latest, or its image and conda_file"


def _texts(*names: str) -> dict[str, Shape]:
    return dict.fromkeys(names, TEXT)


def _whole(*names: str) -> dict[str, Shape]:
    return dict.fromkeys(names, WHOLE)


_VERSION = One(lambda value: bool(value) or value == 0, lambda _: 'write it in quotes, as "1"')
_AS_LITERAL = "write a number, or a text in quotes"
_CHOICE = One(lambda value: not isinstance(value, list | bool), lambda _: _AS_LITERAL)
_PLAIN = One(lambda value: not isinstance(value, list | bool | Mapping), lambda _: _AS_LITERAL)
_OWN_TRIAL = One(
    lambda value: isinstance(value, Mapping), lambda _: "write its command here: only a node tries a component"
)
USED = One(lambda value: isinstance(value, Mapping) or (isinstance(value, str) and bool(value)), lambda _: "name one")
_ROUTE = Fields({"path": TEXT, "port": WHOLE}, required=("path", "port"))
_ROUTES = ("liveness_route", "readiness_route", "scoring_route")
_ENVIRONMENT: dict[str, Shape] = {
    **_texts("name", "description", "image", "datastore"),
    "version": _VERSION,
    "conda_file": TextOr(Each(ANYTHING), "write the path of the file"),
    "build": Fields(_texts("path", "dockerfile_path")),
    "inference_config": Fields(dict.fromkeys(_ROUTES, _ROUTE), required=_ROUTES),
    "os_type": WORD,
    "tags": Each(ANYTHING),
}
INLINE = TextOr(Fields({**dict.fromkeys(FIELDS[ENVIRONMENT], ANYTHING), **_ENVIRONMENT}), ADDRESS_OR_ENVIRONMENT)

_ROLES = dict.fromkeys(("managed", "managed_identity"), Fields(_texts("client_id", "object_id", "msi_resource_id")))
_IDENTITY = ByType({**_ROLES, "user_identity": Fields({}), "aml_token": Fields({})})
_RESOURCE_IDENTITY = Fields(
    {"type": WORD, "user_assigned_identities": Items(Each(TEXT)), **_texts("principal_id", "tenant_id")},
    required=("type",),
)
RESOURCES = Fields(
    {
        "instance_count": COUNT,
        "max_instance_count": COUNT,
        **_texts("instance_type", "shm_size"),
        "docker_args": TextOr(Items(TEXT), "write one text"),
        "locations": Items(TEXT),
        "properties": Each(ANYTHING),
    }
)
_QUEUE = Fields({"job_tier": WORD, "priority": WORD})
_SERVICE: dict[str, Shape] = {"port": WHOLE, "nodes": WORD, "properties": Each(ANYTHING)}
_SERVICE |= dict.fromkeys(("endpoint", "status", "error_message"), ANYTHING)
_SERVICES = Each(ByType(SERVICES, common=Fields(_SERVICE), needs_type=False))
_SETTINGS = Fields(
    {**_texts("default_compute", "default_datastore"), "continue_on_step_failure": FLAG, "force_rerun": FLAG},
    is_open=True,  # a rule of its own knows the names
)
_GIVEN_FIELDS = Fields({"type": WORD, "mode": WORD, "path": OrNothing(TEXT)}, is_open=True)
_GIVEN = OrNothing(TextOr(_GIVEN_FIELDS, "write one value, or a mapping with a type and a path", takes=object))
_OUTPUT = Fields(
    {"type": WORD, "mode": WORD, "path": OrNothing(TEXT), "name": OrNothing(TEXT), "version": OrNothing(_VERSION)},
    is_open=True,
)
_JOB: dict[str, Shape] = {
    **_texts("name", "display_name", "description", "experiment_name", "compute"),
    "type": WORD,
    **dict.fromkeys(("tags", "properties"), Each(OrNothing(TEXT))),
    "identity": _IDENTITY,
    "services": _SERVICES,
    "inputs": Each(_GIVEN),
    "outputs": Each(OrNothing(_OUTPUT)),
}
_COMMAND: dict[str, Shape] = {
    **_texts("command", "code"),
    "environment": INLINE,
    "distribution": ByType(DISTRIBUTIONS),
    "resources": RESOURCES,
}
_VARIABLES = {"environment_variables": Each(OrNothing(SCALAR))}
_COMMAND_RUN: dict[str, Shape] = {**_COMMAND, **_VARIABLES, "queue_settings": _QUEUE}
_TRIALS = dict.fromkeys((*TRIAL_LIMITS, "timeout"), COUNT)
_POLICY: dict[str, Shape] = dict.fromkeys(("evaluation_interval", "delay_evaluation"), OrNothing(WHOLE))
_SWEEP: dict[str, Shape] = {
    "trial": USED,
    "search_space": Each(
        ByType(
            {
                kind: Fields({name: Items(_CHOICE) if name == "values" else NUMBER for name in names}, is_open=True)
                for kind, names in SPACES.items()
            }
        )
    ),
    "sampling_algorithm": Within(
        ByType(
            {
                "random": Fields({"seed": WHOLE, "rule": WORD, "logbase": _PLAIN}),
                "grid": Fields({}),
                "bayesian": Fields({}),
            }
        )
    ),
    "objective": Fields({"goal": WORD, "primary_metric": TEXT}, required=("goal", "primary_metric")),
    "limits": Fields(_TRIALS, required=("max_total_trials",)),
    "early_termination": ByType(
        {
            "bandit": Fields(dict.fromkeys(("slack_factor", "slack_amount"), OrNothing(NUMBER))),
            "median_stopping": Fields({}),
            "truncation_selection": Fields({"truncation_percentage": WHOLE}, required=("truncation_percentage",)),
        },
        common=Fields(_POLICY),
    ),
    "queue_settings": _QUEUE,
}
_PORT = Fields(
    {
        "description": TEXT,
        "mode": WORD,
        **dict.fromkeys(("default", "enum"), SOMETHING),
        **dict.fromkeys(("min", "max"), _CHOICE),
    },
    is_open=True,  # rules of their own know the names, and what fits the port's type
)
_PACKAGE = ("organization", "project", "feed", "name", "version", "scope")
_INCLUDE = TextOr(
    ByType({"artifact": Fields(_texts(*_PACKAGE), required=("feed", "name", "version"))}), "write the path of one"
)
_COMPONENT: dict[str, Shape] = {
    **_texts("name", "display_name", "description"),
    "version": _VERSION,
    "is_deterministic": FLAG,
    "tags": Each(TEXT),
    "properties": Each(ANYTHING),
    "type": OrNothing(WORD),
    "inputs": Each(OrNothing(Within(_PORT))),
    "outputs": Each(OrNothing(Within(_PORT))),
}
_PROBE = Fields(_whole("failure_threshold", "initial_delay", "period", "success_threshold", "timeout"))
_SCALES = ("polling_interval", "target_utilization_percentage", "min_instances", "max_instances")
_COLLECTION = Fields(
    {
        "enabled": WORD,
        "data": TextOr(Fields(_texts("name", "path", "version", "data_id")), "name them"),
        "client_id": TEXT,
    },
    required=("enabled",),
)
_COLLECTOR = Fields(
    {
        "collections": Each(_COLLECTION),
        "rolling_rate": WORD,
        "sampling_rate": One(lambda value: is_number(value) and 0 <= float(value) <= 1, lambda _: "write a share of 1"),
        "request_logging": Fields({"capture_headers": Items(TEXT)}),
    },
    required=("collections",),
)
_REQUESTS = Fields(
    {
        "max_concurrent_requests_per_instance": WHOLE,
        "request_timeout_ms": MILLISECONDS,
        "max_queue_wait_ms": MILLISECONDS,
    }
)
_MACHINE = Fields(_texts("cpu", "memory", "gpu", "nvidia.com/gpu"))
_ADMIN = ("admin_username", "admin_password", "ssh_key_value")
_SERVED: dict[str, Shape] = {**_texts("name", "description"), "tags": Each(ANYTHING), "properties": Each(ANYTHING)}

_NODE_OUTPUTS = Each(OrNothing(TextOr(_OUTPUT, "write a mapping")))
NODE_FIELDS: dict[str, Shape] = _JOB | {"outputs": _NODE_OUTPUTS, "comment": TEXT, "$schema": ANYTHING}  # of any node
SHAPES: Mapping[str, Mapping[str, Shape]] = {
    COMMAND_COMPONENT: _COMPONENT | _COMMAND | {"additional_includes": Items(_INCLUDE)},
    PIPELINE_COMPONENT: _COMPONENT | {"jobs": Each(ANYTHING)},
    COMMAND_JOB: _JOB | _COMMAND_RUN | {"limits": Fields({"timeout": COUNT}), "parent_job_name": TEXT},
    PIPELINE_JOB: _JOB | {"settings": _SETTINGS, "jobs": Each(ANYTHING), "component": USED},
    SWEEP_JOB: _JOB | _SWEEP | {"resources": RESOURCES, "trial": _OWN_TRIAL},
    TRIAL: _COMMAND_RUN,
    NODE: NODE_FIELDS
    | _COMMAND_RUN
    | _SWEEP
    | {"component": USED, "settings": _SETTINGS, "limits": Fields(_TRIALS), "jobs": Each(ANYTHING)}
    | {"additional_includes": Items(_INCLUDE)},
    ENVIRONMENT: _ENVIRONMENT,
    ASSET: _SERVED
    | {
        "version": _VERSION,
        "type": WORD,
        **_texts("path", "stage", "datastore", "job_name"),
        "flavors": Each(Each(ANYTHING)),
    },
    ENDPOINT: _SERVED
    | {"auth_mode": WORD, "public_network_access": WORD, "identity": _RESOURCE_IDENTITY}
    | _texts("compute", "location")
    | dict.fromkeys(("traffic", "mirror_traffic"), Each(ANYTHING)),
    DEPLOYMENT: _SERVED
    | _VARIABLES
    | {
        **_texts("type", "endpoint_name"),
        "resources": Fields(dict.fromkeys(("requests", "limits"), _MACHINE)),
        "private_network_connection": FLAG,
        "model": USED,
        "model_mount_path": TEXT,
        "code_configuration": Fields(_texts("code", "scoring_script"), required=("code", "scoring_script")),
        "environment": INLINE,
        "instance_type": TEXT,
        "instance_count": WHOLE,
        "app_insights_enabled": FLAG,
        "egress_public_network_access": WORD,
        "request_settings": _REQUESTS,
        "liveness_probe": _PROBE,
        "readiness_probe": _PROBE,
        "scale_settings": ByType({"default": Fields({}), "target_utilization": Fields(_whole(*_SCALES))}),
        "data_collector": _COLLECTOR,
    },
    COMPUTE: {
        **_texts("name", "description", "size", "location", "resource_id"),
        "type": TEXT,
        "tier": WORD,
        "tags": Each(TEXT),
        **_whole("min_instances", "max_instances", "idle_time_before_scale_down"),
        **dict.fromkeys(("ssh_public_access_enabled", "enable_node_public_ip"), FLAG),
        "identity": _RESOURCE_IDENTITY,
        "network_settings": Fields(_texts("vnet_name", "subnet")),
        "ssh_settings": Fields(_texts(*_ADMIN), required=_ADMIN[:1]),
    },
}
