"""A thousand malformed requests, and bodies of the wrong shape: refused with a sentence, and nothing breaks."""

import random
import resource
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from azureml_local.arm_ids import WORKSPACE_ID, resource_id
from azureml_local.engine.engine import Engine
from azureml_local.serving import Deployments
from malformed_requests import COMPONENT, TEXTS, malformed
from test_rest import client_of, open_workspace


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A workspace that plans jobs and deployments and starts none, with a component and an endpoint."""
    workspace = open_workspace(tmp_path_factory.mktemp("home") / "local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "submit", lambda *_: None)
        patch.setattr(Deployments, "start", lambda *_: None)
        client = client_of(workspace)
        client.put(resource_id("components", "say", "1"), json=COMPONENT)
        client.put(resource_id("onlineEndpoints", "there"), json={})
        yield client
    workspace.close()


@pytest.mark.usefixtures("no_garbage_collection")
def test_a_thousand_malformed_requests_break_nothing(client: TestClient):
    chance = random.Random(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers: dict[int, int] = {}
    for number in range(1000):
        request = malformed(chance)
        reply = client.request(**request)
        answers[reply.status_code] = answers.get(reply.status_code, 0) + 1
        assert reply.status_code < 500 or reply.status_code == 501, (number, request, reply.text)
        if reply.status_code >= 400 and request["method"] != "HEAD":
            assert len(reply.json()["error"]["message"]) > 10, (number, request, reply.text)
    assert answers[400] > 300
    assert client.get(WORKSPACE_ID).json()["name"] == "local"
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 256 << 10  # kilobytes


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("jobs/x", {"properties": []}, "properties: expected an object"),
        ("jobs/x", {"properties": {"jobType": "Command", "command": 1}}, "properties.command: expected a text"),
        ("jobs/x", {"properties": {"jobType": "Command", "inputs": {"a": {"uri": {}}}}}, "properties.inputs.a.uri"),
        ("jobs/x", {"properties": {"jobType": "Command", "tags": "x"}}, "properties.tags: expected an object"),
        (
            "jobs/x",
            {"properties": {"jobType": "Pipeline", "jobs": {"n": "x"}}},
            "properties.jobs.n: expected an object",
        ),
        ("jobs/x", {"properties": {"jobType": "Pipeline", "jobs": {"n": {"inputs": 3}}}}, "properties.jobs.n.inputs"),
        (
            "components/x/versions/1",
            {"properties": {"componentSpec": "x"}},
            "properties.componentSpec: expected an object",
        ),
        (
            "components/x/versions/1",
            {"properties": {"componentSpec": {"type": "command", "command": "x", "inputs": {"a": []}}}},
            "properties.componentSpec.inputs.a: expected an object",
        ),
        (
            "components/x/versions/1",
            {"properties": {"componentSpec": {"type": "command"}}},
            "componentSpec.command must",
        ),
        ("environments/x/versions/1", {"properties": {"image": ["i"]}}, "properties.image: expected a text"),
        ("environments/x/versions/1", {"properties": {"isArchived": "yes"}}, "properties.isArchived: expected true or"),
        ("data/x/versions/1", {"properties": {}}, "properties.dataUri must be given"),
        ("data/x/versions/1", {"properties": {"dataUri": {"a": 1}}}, "properties.dataUri: expected a text"),
        ("models/x/versions/1", {"properties": {"modelUri": 1}}, "properties.modelUri: expected a text"),
        (
            "onlineEndpoints/x",
            {"properties": {"traffic": {"blue": "all"}}},
            "properties.traffic.blue: expected a whole",
        ),
        ("onlineEndpoints/x", {"properties": {"traffic": {"blue": -5, "green": 105}}}, "properties.traffic.blue"),
        (
            "onlineEndpoints/there/deployments/x",
            {"properties": {"codeConfiguration": "x"}},
            "properties.codeConfiguration",
        ),
        ("onlineEndpoints/there/deployments/x", {"sku": {"capacity": "many"}}, "sku.capacity: expected a whole number"),
        ("computes/x", {"properties": {"properties": "x"}}, "properties.properties: expected an object"),
    ],
)
def test_a_body_of_the_wrong_shape_is_refused_with_the_field(client: TestClient, path: str, body: dict, field: str):
    reply = client.put(f"{WORKSPACE_ID}/{path}", json=body)
    assert reply.status_code == 400
    assert field in reply.json()["error"]["message"]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_no_document_is_refused(client: TestClient, text: bytes):
    reply = client.put(resource_id("jobs", "x"), content=text)
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "UserError"
