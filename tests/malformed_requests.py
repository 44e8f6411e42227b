"""Requests that the workspace takes, and what spoils them."""

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from azureml_local.arm_ids import WORKSPACE_ID, resource_id

BLOB = "/blob/azureml-blobstore"
JOB = {
    "properties": {
        "jobType": "Command",
        "command": "true ${{inputs.word}}",
        "environmentId": "azureml:training:1",
        "experimentName": "tests",
        "inputs": {
            "word": {"jobInputType": "literal", "value": "x"},
            "data": {"jobInputType": "uri_folder", "uri": "azureml:d:1"},
        },
        "outputs": {"out": {"jobOutputType": "uri_folder", "uri": "azureml://datastores/workspaceblobstore/paths/x"}},
        "distribution": {"distributionType": "PyTorch", "processCountPerInstance": 2},
        "limits": {"jobLimitsType": "Command", "timeout": "PT1M"},
        "environmentVariables": {"A": "1"},
        "tags": {"a": "b"},
    }
}
NODE = {
    "type": "command",
    "componentId": resource_id("components", "say", "1"),
    "inputs": {"text": {"job_input_type": "literal", "value": "${{parent.inputs.text}}"}},
    "outputs": {"out": {"value": "${{parent.outputs.out}}", "type": "literal"}},
    "resources": {"instance_count": 1},
    "environment_variables": {"A": "1"},
}
PIPELINE = {
    "properties": {
        "jobType": "Pipeline",
        "displayName": "p",
        "inputs": {"text": {"jobInputType": "literal", "value": "x"}},
        "outputs": {"out": {"jobOutputType": "uri_folder"}},
        "settings": {"continue_on_step_failure": True, "default_compute": "c"},
        "jobs": {"say": NODE},
    }
}
SWEEP = {
    "properties": {
        "jobType": "Sweep",
        "trial": {"command": "true ${{search_space.x}}", "environmentId": "azureml:training:1"},
        "searchSpace": {"x": ["choice", [[1, 2]]]},
        "samplingAlgorithm": {"samplingAlgorithmType": "Grid"},
        "objective": {"primaryMetric": "loss", "goal": "Minimize"},
        "limits": {"maxTotalTrials": 2, "maxConcurrentTrials": 1},
    }
}
COMPONENT = {
    "properties": {
        "componentSpec": {
            "type": "command",
            "command": "echo ${{inputs.text}} > ${{outputs.out}}/x",
            "environment": "azureml:training:1",
            "inputs": {"text": {"type": "string", "default": "x", "optional": True}},
            "outputs": {"out": {"type": "uri_folder"}},
        }
    }
}
DEPLOYMENT = {
    "properties": {
        "codeConfiguration": {"codeId": resource_id("codes", "score", "1"), "scoringScript": "score.py"},
        "environmentVariables": {"A": "1"},
    },
    "sku": {"name": "Default", "capacity": 1},
}
HISTORY = f"/history/v1.0{WORKSPACE_ID}"

# Requests that the workspace takes, or nearly: method, address ({} is a name) and body.
REQUESTS: list[tuple[str, str, Any]] = [
    *[("PUT", resource_id("jobs", "{}"), body) for body in (JOB, JOB, PIPELINE, PIPELINE, SWEEP)],
    ("PUT", resource_id("components", "{}", "1"), COMPONENT),
    (
        "PUT",
        resource_id("environments", "{}", "1"),
        {"properties": {"image": "i", "condaFile": "c", "tags": {"a": "b"}}},
    ),
    (
        "PUT",
        resource_id("data", "d", "{}"),
        {"properties": {"dataUri": "azureml://datastores/x/paths/y", "dataType": "uri_file"}},
    ),
    (
        "PUT",
        resource_id("models", "{}", "1"),
        {"properties": {"modelUri": "azureml://jobs/x/outputs/y/paths/z", "flavors": {}}},
    ),
    ("PUT", resource_id("data", "{}"), {"properties": {"isArchived": True, "tags": {"a": "b"}}}),
    (
        "PUT",
        resource_id("computes", "{}"),
        {"properties": {"computeType": "AmlCompute", "properties": {"vmSize": "x"}}},
    ),
    (
        "PUT",
        resource_id("onlineEndpoints", "{}"),
        {"properties": {"authMode": "Key", "traffic": {"blue": 100}}, "tags": {}},
    ),
    ("PATCH", resource_id("onlineEndpoints", "there"), {"properties": {"traffic": {"blue": 0}}, "tags": {"a": "b"}}),
    ("PUT", f"{resource_id('onlineEndpoints', 'there')}/deployments/{{}}", DEPLOYMENT),
    ("POST", f"{resource_id('onlineEndpoints', 'there')}/deployments/blue/getLogs", {"tail": 10}),
    ("POST", f"{resource_id('onlineEndpoints', 'there')}/regenerateKeys", {"keyType": "Primary"}),
    ("POST", f"{HISTORY}/rundata", {"runId": "x"}),
    ("PATCH", f"{HISTORY}/experiments/e/runs/{{}}", {"displayName": "x", "tags": {"a": "b"}, "hidden": True}),
    ("POST", f"/data/v1.0{WORKSPACE_ID}/dataversion/batchGetResolvedUris", {"values": ["a", "b"]}),
    ("GET", f"{WORKSPACE_ID}/jobs?listViewType={{}}&tag={{}}&jobType={{}}", None),
    ("GET", f"{WORKSPACE_ID}/data/{{}}/versions?$top={{}}&$orderBy={{}}&hash={{}}", None),
    ("GET", "/blob/azureml-blobstore?comp=list&prefix={}&delimiter={}", None),
    ("PUT", f"{BLOB}/{{}}?comp={{}}&blockid={{}}", "content"),
    ("GET", f"{BLOB}/{{}}", None),
    ("POST", "/score/{}", {"input_data": ["x"]}),
]
JUNK: list[Any] = [
    None, True, False, 0, -1, 10**30, 1.5e308, "", " ", "x" * 10_000, "\u202e\ufeff\U0001f600", "${{", "${{}}",
    "$[[", "]]",
    "${{parent.inputs.nope}}", "${{parent.jobs.say.outputs.out}}", "${{inputs.text}}", "../../etc/passwd",
    "/etc/passwd",
    "azureml:nope:1", "azureml:nope@latest", "azureml://", "azureml://datastores/../paths/..",
    "azureml://jobs/../outputs/..",
    "https://127.0.0.1/blob/../x", "PT", "P1Y", "PT999999999999S", "1e9", "nan", [], {}, [[]], [None], {"": None},
    {"a": {"b": []}},
    {"type": "command"}, {"value": {}}, {"uri": "azureml:x"}, {"..": "x"}, {"a/b": "x"}, ["choice", []],
    ["uniform"], [1, [2]],
]  # fmt: skip
NAMES = [
    "x",
    "..",
    "%2e%2e",
    "%00",
    "a%2f..%2fb",
    "%ff",
    "a" * 300,
    "%e2%80%ae",
    "$x",
    "a b",
    "'",
    '"',
    "%0d%0aX:1",
    "{}",
    "-1",
    "9" * 40,
]
TEXTS = [
    b"", b"null", b"[]", b"1", b'"x"', b"{", b"[" * 100_000, b'{"a":' * 5_000, b"\xff\xfe", b'{"properties": NaN}',
    b"\xef\xbb\xbf{}",
    b'{"properties": {"command": "\\ud800"}}', b'{"properties": {"command": "\\u0000"}}',
    b'{"a": ' + b"9" * 5_000 + b"}",
    b'{"properties": {"jobType": 1e999}}', b'{"properties": Infinity}', b'{"a": 1, "a": 2}', b"<xml/>", b"a=b&c=d",
]  # fmt: skip
HEADERS = [
    {}, {}, {}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json; charset=nothing"},
    {"Content-Encoding": "gzip"},
    {"Range": "bytes=9-1"}, {"x-ms-range": "bytes=-"}, {"Content-MD5": "no"}, {"x-ms-meta-<": "x"},
    {"x-ms-meta-a": b"\xff"},
    {"If-None-Match": "*"}, {"Accept": "\u0000".encode()}, {"X" * 1000: "y" * 1000},
    {"User-Agent": "azure-ai-ml/x.y"},
]  # fmt: skip


def spoiled(chance: random.Random, body: Any) -> Any:
    """The body with junk in one to three places, or without them."""
    body = deepcopy(body)
    for _ in range(chance.randint(1, 3)):
        holder, key = chance.choice(list(places(body)) or [({}, "")])
        if chance.random() < 0.15 and isinstance(holder, dict):
            holder.pop(key, None)
        else:
            holder[key] = deepcopy(chance.choice(JUNK))
    return body


def places(body: Any) -> Iterator[tuple[Any, Any]]:
    """Where something lies in a body: its holder, and the key or the number."""
    for key, item in body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ():
        yield body, key
        yield from places(item)


def malformed(chance: random.Random) -> dict[str, Any]:
    """The arguments of a request."""
    method, path, body = chance.choice(REQUESTS)
    while "{}" in path:
        path = path.replace("{}", chance.choice([*NAMES, f"n{chance.randrange(10**9)}"]).replace("{}", "%7B%7D"), 1)
    content = (
        chance.choice(TEXTS) if body is None or chance.random() < 0.2 else json.dumps(spoiled(chance, body)).encode()
    )
    return {"method": method, "url": path, "content": content, "headers": chance.choice(HEADERS)}
