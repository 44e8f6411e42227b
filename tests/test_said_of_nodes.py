"""What a job and its nodes say of themselves: names, tags, descriptions and computes, here and in MLflow."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from fastapi.testclient import TestClient

from azureml_local.arm_ids import WORKSPACE_ID, resource_id
from azureml_local.workspace import Workspace
from test_rest import client_of, open_workspace, wait_for

HISTORY = f"/history/v1.0{WORKSPACE_ID}"
STEP = resource_id("components", "step", "1")
SAID = {"tags": {"x": "y"}, "properties": {"p": "q"}, "description": "what it does"}
NODES = {
    "train": {"type": "command", "componentId": STEP, "computeId": "azureml:mine", **SAID},
    "shown": {"type": "command", "componentId": STEP, "display_name": "Shown"},
    "whole": {"type": "pipeline", "componentId": resource_id("components", "whole", "1"), "tags": {"k": "l"}},
    "sweep": {
        "type": "sweep",
        "trial": STEP,
        "tags": {"sw": "eep"},
        "search_space": {"a": {"type": "choice", "values": ["1"]}},
        "objective": {"primary_metric": "m", "goal": "maximize"},
        "limits": {"max_total_trials": 1},
    },
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One in which a pipeline job "said" has ended."""
    workspace = open_workspace(tmp_path_factory.mktemp("home") / "local")
    client = client_of(workspace)
    step = {"type": "command", "command": "true ${{inputs.a}}", "inputs": {"a": {"type": "string", "default": "1"}}}
    whole = {"type": "pipeline", "jobs": {"deep": {"type": "command", "componentId": STEP, "compute": "azureml:own"}}}
    for name, spec in (("step", step), ("whole", whole)):
        body = {"properties": {"componentSpec": spec}}
        assert client.put(resource_id("components", name, "1"), json=body).status_code == 201
    job = {"jobType": "Pipeline", "jobs": NODES, "tags": {"t": "1"}, "settings": {"default_compute": "cpu"}}
    assert client.put(resource_id("jobs", "said"), json={"properties": job}).status_code == 201
    wait_for(client, "said")
    yield workspace
    workspace.close()


@pytest.fixture
def client(workspace: Workspace) -> TestClient:
    return client_of(workspace)


def runs(client: TestClient, job: str) -> dict[str, dict]:
    """The runs of the nodes of a job by their full names."""
    return {run["name"]: run for run in client.get(f"{HISTORY}/runs/{job}/children").json()["value"]}


def in_mlflow(workspace: Workspace, job: str) -> tuple[str, dict[str, str]]:
    """The name of a job's run and the tags that are not MLflow's own."""
    with closing(sqlite3.connect(workspace.home.runs_database)) as database:
        (name,) = database.execute("SELECT name FROM runs WHERE run_uuid = ?", (job,)).fetchone()
        tags = dict(database.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (job,)))
    return name, {key: value for key, value in tags.items() if not key.startswith("mlflow.")}


def test_a_node_says_what_the_pipeline_says_of_it(client: TestClient):
    train = runs(client, "said")["train"]
    assert (train["displayName"], train["tags"], train["description"]) == ("train", {"x": "y"}, "what it does")
    assert train["properties"] == {"azureml.moduleName": "step", "p": "q"}
    assert train["compute"]["target"] == "mine"


def test_a_node_that_names_no_compute_has_that_of_the_pipeline(client: TestClient):
    shown = runs(client, "said")["shown"]
    assert (shown["displayName"], shown["compute"]["target"]) == ("Shown", "cpu")


def test_a_node_in_a_graph_is_called_by_its_own_name(workspace: Workspace, client: TestClient):
    whole = runs(client, "said")["whole"]
    deep = runs(client, whole["runId"])["whole.deep"]
    assert (deep["displayName"], deep["compute"]["target"]) == ("deep", "own")
    assert in_mlflow(workspace, deep["runId"]) == ("deep", {})
    assert in_mlflow(workspace, whole["runId"]) == ("whole", {"k": "l"})


def test_the_tags_of_a_sweep_are_not_those_of_its_trials(client: TestClient):
    sweep = runs(client, "said")["sweep"]
    (trial,) = runs(client, sweep["runId"]).values()
    assert sweep["tags"] == {"sw": "eep"}
    assert list(trial["tags"]) == ["hyperparameters"]


def test_the_tags_of_a_job_are_on_its_run_and_so_are_those_that_it_gets(workspace: Workspace, client: TestClient):
    assert in_mlflow(workspace, "said") == ("said", {"t": "1"})
    changes = {"displayName": "renamed", "tags": {"size": "small"}}
    assert client.patch(f"{HISTORY}/experiments/e/runs/said", json=changes).status_code == 200
    assert in_mlflow(workspace, "said") == ("renamed", {"t": "1", "size": "small"})
    job = {"jobType": "Pipeline", "jobs": NODES, "displayName": "again", "tags": {"size": "large"}}
    assert client.put(resource_id("jobs", "said"), json={"properties": job}).status_code == 200
    assert in_mlflow(workspace, "said") == ("again", {"t": "1", "size": "large"})


def test_a_command_alone_has_its_tags_and_its_compute(workspace: Workspace, client: TestClient):
    job = {"jobType": "Command", "command": "true", "computeId": f"{WORKSPACE_ID}/computes/gpu", "tags": {"a": "b"}}
    client.put(resource_id("jobs", "alone"), json={"properties": job})
    wait_for(client, "alone")
    assert in_mlflow(workspace, "alone")[1] == {"a": "b"}
    assert client.get(f"{HISTORY}/runs/alone").json()["compute"]["target"] == "gpu"
