"""What was made stays as it is: outputs of jobs, and versions of assets."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from azureml_local.arm_ids import WORKSPACE_ID, resource_id
from azureml_local.blobs import BLOBSTORE
from azureml_local.workspace import Workspace
from test_rest import client_of, command_job, open_workspace, wait_for


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    workspace = open_workspace(tmp_path_factory.mktemp("home") / "local")
    yield workspace
    workspace.close()


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> TestClient:
    return client_of(workspace)


def test_a_job_that_was_read_and_is_sent_again_has_an_output_of_its_own(workspace: Workspace, client: TestClient):
    body = command_job("echo $RANDOM$RANDOM > ${{outputs.out}}/number")
    body["properties"]["outputs"] = {"out": {"jobOutputType": "uri_folder"}}
    client.put(resource_id("jobs", "original"), json=body)
    wait_for(client, "original")
    written = workspace.jobs.run("original").body["outputs"]["out"]
    before = Path(written, "number").read_text()
    again = client.get(resource_id("jobs", "original")).json()
    assert again["properties"]["outputs"]["out"]["uri"]
    assert client.put(resource_id("jobs", "clone"), json={"properties": again["properties"]}).status_code == 201
    assert wait_for(client, "clone")["status"] == "Completed"
    own = workspace.jobs.run("clone").body["outputs"]["out"]
    assert own != written
    assert Path(own, "number").read_text() != before
    assert Path(written, "number").read_text() == before


def test_an_output_without_a_place_for_its_address_is_warned_of(workspace: Workspace, client: TestClient):
    (workspace.home.blobs / BLOBSTORE / "azureml").mkdir(exist_ok=True)
    (workspace.home.blobs / BLOBSTORE / "azureml" / "hidden").write_text("a file of that name")
    body = command_job("true > ${{outputs.out}}/x")
    body["properties"]["outputs"] = {"out": {"jobOutputType": "uri_folder"}}
    client.put(resource_id("jobs", "hidden"), json=body)
    assert wait_for(client, "hidden")["status"] == "Completed"
    [warning] = client.get(f"/history/v1.0{WORKSPACE_ID}/runs/hidden/details").json()["warnings"]
    assert "is there, and has no address to be read by: azureml/hidden/out cannot be linked to it" in warning["message"]


def test_two_outputs_of_a_pipeline_cannot_become_one_version(client: TestClient):
    component = {"type": "command", "command": "true > ${{outputs.out}}/x", "outputs": {"out": {"type": "uri_folder"}}}
    client.put(resource_id("components", "made", "1"), json={"properties": {"componentSpec": component}})
    output = {"out": {"job_output_type": "uri_folder", "name": "clash", "version": "1"}}
    node = {"type": "command", "componentId": resource_id("components", "made", "1"), "outputs": output}
    reply = client.put(
        resource_id("jobs", "clashing"), json={"properties": {"jobType": "Pipeline", "jobs": {"a": node, "b": node}}}
    )
    assert reply.status_code == 400
    sentence = 'node "b", output "out": node "a", output "out" becomes clash:1 already; give another version, or none'
    assert sentence in reply.json()["error"]["message"]


def test_of_two_jobs_that_make_one_version_the_second_is_warned(client: TestClient):
    body = command_job("sleep 0.5; echo $AZUREML_RUN_ID > ${{outputs.out}}/by")
    body["properties"]["outputs"] = {"out": {"jobOutputType": "uri_folder", "assetName": "raced", "assetVersion": "7"}}
    for job in ("racer-1", "racer-2"):
        assert client.put(resource_id("jobs", job), json=body).status_code == 201
    assert {wait_for(client, job)["status"] for job in ("racer-1", "racer-2")} == {"Completed"}
    deadline, warned = time.monotonic() + 10, []
    while len(warned) != 1 and time.monotonic() < deadline:
        details = [
            client.get(f"/history/v1.0{WORKSPACE_ID}/runs/{job}/details").json() for job in ("racer-1", "racer-2")
        ]
        warned = [(run["runId"], run["warnings"][0]["message"]) for run in details if run["warnings"]]
    [(job, message)] = warned
    assert 'the output "out" is not registered: another job has made raced:7 meanwhile' in message
    kept = client.get(resource_id("data", "raced", "7")).json()["properties"]["dataUri"]
    assert job not in kept
    assert "racer-" in kept


def test_a_version_of_a_component_stays_what_it_is(client: TestClient):
    component = {
        "type": "command",
        "command": "echo ${{inputs.x}}",
        "inputs": {"x": {"type": "number", "default": 0.1}},
    }

    def put(**changes: object) -> int:
        body = {"properties": {"componentSpec": component | changes}}
        return client.put(resource_id("components", "kept", "1"), json=body).status_code

    assert put() == 201
    same = {"x": {"type": "number", "default": "0.1", "optional": False, "description": "said anew"}}
    assert put(inputs=same, description="said anew") == 200
    assert put(inputs={"x": {"type": "number", "default": 0.9}}) == 409
    assert put(inputs={"x": {"type": "number", "default": 0.1, "optional": True}}) == 409
    assert put(outputs={"out": {"type": "uri_folder"}}) == 409
    assert put(is_deterministic=False) == 409
    assert put(is_deterministic=True) == 200


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("command", "echo two"),
        ("environmentVariables", {"A": "2"}),
        ("distribution", {"distributionType": "PyTorch", "processCountPerInstance": 2}),
        ("inputs", {"x": {"jobInputType": "literal", "value": "2"}}),
        ("computeId", f"{WORKSPACE_ID}/computes/another"),
        ("experimentName", "another"),
        ("limits", {"jobLimitsType": "Command", "timeout": "PT2M"}),
        ("resources", {"instanceCount": 2}),
        ("outputs", {"another": {"jobOutputType": "uri_folder"}}),
        ("outputs", {}),
    ],
)
def test_another_job_under_a_known_name_is_refused(client: TestClient, field: str, other: object):
    first = command_job("echo one")
    first["properties"] |= {"environmentVariables": {"A": "1"}, "inputs": {"x": {"value": "1"}}}
    first["properties"] |= {"outputs": {"out": {"jobOutputType": "uri_folder"}}}
    second = {"properties": {**first["properties"], field: other}}
    name = f"same-{field}-{len(other)}"
    assert client.put(resource_id("jobs", name), json=first).status_code == 201
    reply = client.put(resource_id("jobs", name), json=second)
    assert reply.status_code == 400
    message = reply.json()["error"]["message"]
    assert message.startswith(f'name: "{name}" is a job already, and this one differs in its {field}; give it another')
    kept = client.get(resource_id("jobs", name)).json()["properties"].get(field)
    assert list(kept or ()) == list(first["properties"].get(field) or ())
    assert client.put(resource_id("jobs", name), json=first).status_code == 200
    assert wait_for(client, name)["status"] == "Completed"


@pytest.mark.parametrize("more", [{}, {"resources": {"instanceCount": 1, "shmSize": "2g"}, "limits": {}}])
def test_a_job_that_was_read_is_the_same_one(client: TestClient, more: dict):
    """Also where it names what it did not when it was submitted: its experiment, the outputs of its component."""
    step = {"type": "command", "command": "true ${{outputs.out}}", "outputs": {"out": {"type": "uri_folder"}}}
    node = {"type": "command", "componentId": resource_id("components", "read-step", "1")}
    node["outputs"] = {"out": {"value": "${{parent.outputs.out}}", "type": "literal"}}
    whole = {"type": "pipeline", "outputs": step["outputs"], "jobs": {"n": node}}
    for name, spec in (("read-step", step), ("read-whole", whole)):
        client.put(resource_id("components", name, "1"), json={"properties": {"componentSpec": spec}})
    job, body = resource_id("jobs", f"read-{len(more)}"), {"jobType": "Pipeline"}
    body["componentId"] = resource_id("components", "read-whole", "1")
    assert client.put(job, json={"properties": body}).status_code == 201
    for end in (False, True):
        if end:
            wait_for(client, f"read-{len(more)}")
        read = client.get(job).json()["properties"]
        assert client.put(job, json={"properties": {**read, **more}}).status_code == 200
    assert set(read["outputs"]) == {"out"}


def test_an_output_keeps_the_address_that_the_job_gave_it(workspace: Workspace, client: TestClient):
    place = "azureml://datastores/workspaceblobstore/paths/exports/${{name}}/data"
    job = command_job("echo 1 > ${{outputs.o}}/x")
    job["properties"]["outputs"] = {"o": {"jobOutputType": "uri_folder", "uri": place, "assetName": "exported"}}
    client.put(resource_id("jobs", "placed"), json=job)
    assert wait_for(client, "placed")["status"] == "Completed"
    uri = client.get(resource_id("jobs", "placed")).json()["properties"]["outputs"]["o"]["uri"]
    assert uri.endswith("/datastores/workspaceblobstore/paths/exports/placed/data/")
    run = client.get(f"/history/v1.0{WORKSPACE_ID}/runs/placed").json()
    assert run["outputs"]["o"]["assetId"] == uri
    assert client.get(resource_id("data", "exported", "1")).json()["properties"]["dataUri"] == uri
    assert workspace.assets.settle("azureml://jobs/placed/outputs/o") == uri
    assert workspace.assets.settle("azureml://jobs/placed/outputs/o/paths/x") == f"{uri}x"


@pytest.mark.parametrize(("field", "text"), [("assetName", "a/b"), ("assetVersion", "..")])
def test_an_output_becomes_no_asset_that_no_address_leads_to(client: TestClient, field: str, text: str):
    body = command_job("true > ${{outputs.out}}/x")
    body["properties"]["outputs"] = {"out": {"jobOutputType": "uri_folder", "assetName": "named", field: text}}
    reply = client.put(resource_id("jobs", "naming"), json=body)
    assert reply.status_code == 400
    what = field.removeprefix("asset").lower()
    sentence = f'the job, output "out": "{text}" cannot be the {what} of an asset: it takes up to 255 letters'
    assert reply.json()["error"]["message"].startswith(sentence)


def test_a_model_that_mlflow_alone_has_is_said_to_be_another_thing(workspace: Workspace, client: TestClient):
    workspace.jobs._engine._preparing.join()  # the database is there once MLflow is imported
    with closing(sqlite3.connect(workspace.home.runs_database)) as connection, connection:
        connection.execute("INSERT INTO registered_models (name) VALUES ('filler')")
    for address in (resource_id("models", "filler", "1"), resource_id("models", "filler")):
        reply = client.get(address)
        said = reply.json()["error"]["message"]
        assert reply.status_code == 404
        assert '"filler" is a model of MLflow\'s registry, which is another one here: register it by' in said
        assert "runs:/JOB/PATH" in said
    for address in (resource_id("models", "other", "1"), resource_id("data", "filler", "1")):
        assert "MLflow" not in client.get(address).json()["error"]["message"]
