"""What has no route is refused in the words of who asked."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from azureml_local.arm_ids import NAME_RULE, WORKSPACE_ID, resource_id
from test_rest import client_of, open_workspace


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    workspace = open_workspace(tmp_path_factory.mktemp("home") / "local")
    yield client_of(workspace)
    workspace.close()


@pytest.mark.parametrize("kind", ["data", "models", "environments"])
@pytest.mark.parametrize("end", ["", "/versions", "/versions/1"])
def test_a_name_with_a_slash_is_told_the_rule_of_names(client: TestClient, kind: str, end: str):
    for method in ("GET", "PUT"):
        reply = client.request(method, resource_id(kind, "a/b") + end, json={})
        assert reply.status_code == 400
        assert reply.json()["error"]["message"] == f'"a/b" cannot be the name of an asset: {NAME_RULE}.'


@pytest.mark.parametrize(
    ("method", "what"), [("PATCH", "changing the workspace"), ("DELETE", "deleting the workspace")]
)
def test_what_would_change_the_workspace_is_named(client: TestClient, method: str, what: str):
    reply = client.request(method, WORKSPACE_ID)
    assert reply.status_code == 501
    message = f"The local workspace does not speak {what}; run this on Azure ML."
    assert reply.json()["error"]["message"] == message


def test_a_call_of_another_kind_is_not_taken_for_a_name(client: TestClient):
    for method, path in (("POST", "models"), ("POST", "models/a/versions/1/publish"), ("PATCH", "jobs/a")):
        reply = client.request(method, f"{WORKSPACE_ID}/{path}")
        assert reply.status_code == 501
        assert f'"{method} {path}"' in reply.json()["error"]["message"]
