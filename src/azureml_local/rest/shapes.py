"""What the bodies of requests look like: which field is a text, which an object of what; other fields are left alone.

The SDK sends nothing else. What reads a body after the check need not ask again, and a body written by hand is refused
with the path of the field that is wrong.
"""

from dataclasses import dataclass
from typing import Any

from azureml_local.arm_ids import NAME, NAME_RULE
from azureml_local.rest.errors import bad_request
from azureml_local.rest.requests import Json, shown


@dataclass(frozen=True)
class Each:
    """An object with any names, of values of one shape."""

    shape: Any


@dataclass(frozen=True)
class Items:
    """A list of values of one shape."""

    shape: Any


@dataclass(frozen=True)
class Row:
    """A list that begins with values of these shapes."""

    shapes: tuple[Any, ...]


@dataclass(frozen=True)
class Whole:
    """A whole number in these bounds."""

    least: int
    most: int


@dataclass(frozen=True)
class Either:
    """A value of one of two shapes; the error speaks of the second."""

    plain: Any
    other: Any


TEXT, FLAG, SCALAR = "a text", "true or false", "a text, a number, or true or false"
KINDS: dict[str, tuple[type, ...]] = {TEXT: (str,), FLAG: (bool,), SCALAR: (str, int, float, bool)}

SCALARS = Each(SCALAR)
SAID = {"displayName": TEXT, "description": TEXT, "tags": SCALARS, "properties": SCALARS}
GIVEN = {"jobInputType": TEXT, "job_input_type": TEXT, "value": SCALAR, "uri": TEXT, "mode": TEXT}
PLACE = {"jobOutputType": TEXT, "uri": TEXT, "mode": TEXT, "assetName": TEXT, "assetVersion": TEXT}
PORT = {"type": TEXT, "default": SCALAR, "optional": SCALAR, "min": SCALAR, "max": SCALAR, "description": TEXT}
DISTRIBUTION = {
    "type": TEXT,
    "distributionType": TEXT,
    "distribution_type": TEXT,
    "processCountPerInstance": SCALAR,
    "process_count_per_instance": SCALAR,
}
RESOURCES = {"instanceCount": SCALAR, "instance_count": SCALAR}
OBJECTIVE = {"primaryMetric": TEXT, "primary_metric": TEXT, "goal": TEXT}

TRIAL = {
    "command": TEXT,
    "codeId": TEXT,
    "environmentId": TEXT,
    "environmentVariables": SCALARS,
    "distribution": DISTRIBUTION,
    "resources": RESOURCES,
}
NODE = {
    "type": TEXT,
    "name": TEXT,
    "display_name": TEXT,
    "componentId": TEXT,
    "computeId": TEXT,
    "inputs": Each(Either(SCALAR, GIVEN)),
    "outputs": Each({**PLACE, "value": TEXT, "type": TEXT, "path": TEXT, "name": TEXT, "version": TEXT}),
    "environment_variables": SCALARS,
    "distribution": DISTRIBUTION,
    "resources": RESOURCES,
    "limits": SCALARS,
    "objective": OBJECTIVE,
    "search_space": Each({"type": TEXT, "values": Items(SCALAR)}),
    "sampling_algorithm": Either(TEXT, {"type": TEXT}),
    "settings": {"force_rerun": SCALAR},
}
JOB = {
    **SAID,
    **TRIAL,
    "jobType": TEXT,
    "experimentName": TEXT,
    "componentId": TEXT,
    "computeId": TEXT,
    "isArchived": FLAG,
    "inputs": Each(GIVEN),
    "outputs": Each(PLACE),
    "settings": {"continue_on_step_failure": SCALAR, "force_rerun": SCALAR},
    "limits": SCALARS,
    "jobs": Each(NODE),
    "objective": OBJECTIVE,
    "samplingAlgorithm": {"samplingAlgorithmType": TEXT},
    "searchSpace": Each(Row((TEXT, Row(())))),
    "trial": TRIAL,
}
RUN = {**SAID, "hidden": FLAG}

COMPONENT = {
    "type": TEXT,
    "name": TEXT,
    "display_name": TEXT,
    "command": TEXT,
    "code": TEXT,
    "environment": TEXT,
    "is_deterministic": SCALAR,
    "inputs": Each(PORT),
    "outputs": Each(PORT),
    "environment_variables": SCALARS,
    "distribution": DISTRIBUTION,
    "resources": RESOURCES,
    "jobs": Each(NODE),
}
ASSET = {
    **SAID,
    "isArchived": FLAG,
    "isAnonymous": FLAG,
    "stage": TEXT,
    "dataUri": TEXT,
    "dataType": TEXT,
    "modelUri": TEXT,
    "modelType": TEXT,
    "flavors": {},
    "codeUri": TEXT,
    "image": TEXT,
    "condaFile": TEXT,
    "build": {"contextUri": TEXT, "dockerfilePath": TEXT},
    "componentSpec": COMPONENT,
}
ENDPOINT = {
    "tags": SCALARS,
    "identity": {},
    "properties": {**SAID, "authMode": TEXT, "traffic": Each(Whole(0, 100)), "mirrorTraffic": Each(Whole(0, 100))},
}
DEPLOYMENT = {
    "tags": SCALARS,
    "sku": {"name": TEXT, "capacity": Whole(0, 1000)},
    "properties": {
        **SAID,
        "model": TEXT,
        "codeConfiguration": {"codeId": TEXT, "scoringScript": TEXT},
        "environmentId": TEXT,
        "environmentVariables": SCALARS,
        "requestSettings": {"requestTimeout": TEXT},
        "livenessProbe": {},
        "readinessProbe": {},
    },
}
COMPUTE = {"tags": SCALARS, "properties": {"computeType": TEXT, "description": TEXT, "properties": {}}}
LOGS = {"tail": Whole(1, 100_000)}
KEY = {"keyType": TEXT}
ADDRESSES = {"values": Items(TEXT)}


def check(value: object, shape: Any, path: str = "") -> None:
    """Raise RestError, naming the field, where a value has not the shape; what is null is not given."""
    if value is None:
        return
    match shape:
        case Either():
            check(value, shape.other if isinstance(value, dict) else shape.plain, path)
        case Whole():
            if type(value) is not int or not shape.least <= value <= shape.most:
                raise _unlike(value, f"a whole number from {shape.least} to {shape.most}", path)
        case Items():
            if not isinstance(value, list):
                raise _unlike(value, "a list", path)
            for number, item in enumerate(value):
                check(item, shape.shape, f"{path}.{number}")
        case Row():
            if not isinstance(value, list) or len(value) < len(shape.shapes):
                raise _unlike(value, f"a list of {len(shape.shapes)}", path)
            for number, inner in enumerate(shape.shapes):
                check(value[number], inner, f"{path}.{number}")
        case str():
            if not isinstance(value, KINDS[shape]):
                raise _unlike(value, shape, path)
        case _:
            if not isinstance(value, dict):
                raise _unlike(value, "an object", path)
            _check_fields(value, shape, path)


def check_name(what: str, name: str) -> None:
    """Raise RestError for what cannot be the name, or the version, of a resource."""
    if not NAME.fullmatch(name):
        raise bad_request(f"{shown(name)} cannot be {what}: {NAME_RULE}.")


def _check_fields(value: Json, shape: Any, path: str) -> None:
    below = f"{path}." if path else ""
    if isinstance(shape, Each):
        for name, item in value.items():
            check(item, shape.shape, f"{below}{name:.80}")
        return
    for name, inner in shape.items():
        check(value.get(name), inner, f"{below}{name}")


def _unlike(value: object, wanted: str, path: str) -> Exception:
    return bad_request(f"{path}: expected {wanted}, got {shown(value)}.")
