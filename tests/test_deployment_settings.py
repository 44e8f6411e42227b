"""What a deployment says of its requests and probes, and what it is given where it says nothing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from azureml_local.arm_ids import resource_id
from azureml_local.rest import scoring
from azureml_local.workspace import Workspace
from test_rest import client_of, open_workspace

BLUE = f"{resource_id('onlineEndpoints', 'silent')}/deployments/blue"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """One with an endpoint whose only server takes requests and never answers."""
    workspace = open_workspace(tmp_path / "local")
    workspace.endpoints.put("silent", {"properties": {}})
    with socket.create_server(("127.0.0.1", 0)) as server:

        @contextmanager
        def in_use(endpoint: str, deployment: str) -> Iterator[str]:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"

        workspace.endpoints._deployments.in_use = in_use
        yield workspace
    workspace.close()


@pytest.fixture
def client(workspace: Workspace) -> TestClient:
    return client_of(workspace)


def keep(workspace: Workspace, **properties: object) -> None:
    """Have a deployment as one that is served is kept."""
    said = {"provisioningState": "Succeeded", **properties}
    workspace.store.put("deployments", "silent", "blue", {"properties": said})


def asked(workspace: Workspace, client: TestClient) -> tuple[int, str]:
    """Status and sentence of the answer of the endpoint."""
    key = workspace.endpoints.keys("silent")["primaryKey"]
    headers = {"Authorization": f"Bearer {key}", "azureml-model-deployment": "blue"}
    reply = client.post("/score/silent", headers=headers, json={"input_data": ["a"]})
    return reply.status_code, reply.json()["error"]["message"]


def test_a_deployment_has_the_time_for_an_answer_that_it_asks_for(workspace: Workspace, client: TestClient):
    keep(workspace, requestSettings={"requestTimeout": "PT0.2S"})
    status, sentence = asked(workspace, client)
    assert status == 408
    assert sentence.startswith('The deployment "blue" did not answer within 0.2 s: ')
    assert "request_settings, request_timeout_ms" in sentence


def test_what_answers_keeps_its_time_while_an_update_is_made_or_has_failed(workspace: Workspace, client: TestClient):
    served = {"properties": {"requestSettings": {"requestTimeout": "PT0.2S"}}}
    workspace.store.put("served-deployments", "silent", "blue", served)
    keep(workspace, provisioningState="Failed", requestSettings={"requestTimeout": "PT3M"})
    assert "did not answer within 0.2 s" in asked(workspace, client)[1]


def test_a_deployment_that_asks_for_no_time_has_azures(
    workspace: Workspace, client: TestClient, monkeypatch: pytest.MonkeyPatch
):
    assert scoring.TIMEOUT == 5
    monkeypatch.setattr(scoring, "TIMEOUT", 0.125)
    for settings in (None, {}, {"maxConcurrentRequestsPerInstance": 2}):
        keep(workspace, requestSettings=settings)
        assert asked(workspace, client)[1].startswith('The deployment "blue" did not answer within 0.125 s: ')


def test_no_deployment_has_more_time_than_azure_allows(
    workspace: Workspace, client: TestClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(scoring, "LONGEST", 0.125)
    keep(workspace, requestSettings={"requestTimeout": "PT5M"})
    assert "within 0.125 s" in asked(workspace, client)[1]


def test_a_time_that_is_none_is_refused_when_the_deployment_is_made(client: TestClient):
    reply = client.put(BLUE, json={"properties": {"requestSettings": {"requestTimeout": "soon"}}})
    assert reply.status_code == 400
    assert "properties.requestSettings.requestTimeout: expected a number of seconds" in reply.json()["error"]["message"]


def test_a_deployment_that_says_nothing_of_requests_and_probes_is_read_with_azures_values(
    workspace: Workspace, client: TestClient
):
    keep(workspace, livenessProbe={"period": "PT7S", "timeout": None}, requestSettings={"requestTimeout": "PT30S"})
    before = workspace.endpoints.deployment("silent", "blue").body
    read = client.get(BLUE).json()["properties"]
    assert read["requestSettings"] == {"requestTimeout": "PT30S", "maxConcurrentRequestsPerInstance": 1}
    assert read["readinessProbe"] == {
        "failureThreshold": 30, "successThreshold": 1, "timeout": "PT2S", "period": "PT10S", "initialDelay": "PT10S",
    }  # fmt: skip
    assert read["livenessProbe"] == {**read["readinessProbe"], "period": "PT7S"}
    assert workspace.endpoints.deployment("silent", "blue").body == before


@pytest.mark.parametrize("field", ["requestSettings", "livenessProbe", "readinessProbe"])
def test_what_is_no_settings_is_refused(client: TestClient, field: str):
    reply = client.put(BLUE, json={"properties": {field: "soon"}})
    assert reply.status_code == 400
    assert field in reply.json()["error"]["message"]
