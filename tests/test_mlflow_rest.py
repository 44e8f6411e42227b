"""MLflow over REST: the runs of the workspace, for clients that cannot open its database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from azureml_local.disk import Reserve
from azureml_local.engine.runs import Runs
from azureml_local.mlflow_rest import MlflowServer, mlflow_router

RUN = "sincere_plum_1"
API = "/mlflow/api/2.0/mlflow"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TestClient]:
    uri, artifacts = f"sqlite:///{home / 'mlflow.db'}", home / "artifacts"
    Runs(uri, artifacts, Reserve(home / "reserve")).create(RUN, "trials", "a job", artifacts / RUN)

    import mlflow
    from mlflow.server import handlers

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    app = FastAPI()
    app.include_router(mlflow_router(MlflowServer(uri, artifacts), "sesame"))
    with pytest.MonkeyPatch.context() as patch:
        for store in ("_tracking_store", "_model_registry_store"):
            patch.setattr(handlers, store, None)
        yield TestClient(app, headers={"Authorization": "Bearer sesame"})
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


def test_a_job_logs_to_its_run(client: TestClient, home: Path) -> None:
    metric = {"run_id": RUN, "key": "loss", "value": 0.5, "timestamp": 1, "step": 3}
    assert client.post(f"{API}/runs/log-metric", json=metric).json() == {}
    batch = {"run_id": RUN, "params": [{"key": "alpha", "value": "é/1"}], "tags": [{"key": "a", "value": "b"}]}
    assert client.post(f"{API}/runs/log-batch", json=batch).json() == {}
    run = client.get(f"{API}/runs/get", params={"run_id": RUN}).json()["run"]
    assert run["data"]["metrics"][0]["value"] == 0.5
    assert run["data"]["params"] == [{"key": "alpha", "value": "é/1"}]
    assert run["info"]["artifact_uri"] == f"{home / 'artifacts'}/{RUN}"
    history = client.get(f"{API}/metrics/get-history", params={"run_id": RUN, "metric_key": "loss"}).json()
    assert [point["step"] for point in history["metrics"]] == [3]


@pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")
def test_runs_and_experiments_are_found_and_made(client: TestClient) -> None:
    found = client.get(f"{API}/experiments/get-by-name", params={"experiment_name": "trials"}).json()
    experiment = found["experiment"]["experiment_id"]
    made = client.post(f"{API}/runs/create", json={"experiment_id": experiment, "run_name": "nested"}).json()
    runs = client.post(f"{API}/runs/search", json={"experiment_ids": [experiment]}).json()["runs"]
    assert {run["info"]["run_id"] for run in runs} == {RUN, made["run"]["info"]["run_id"]}


def test_an_error_is_mlflows_own(client: TestClient) -> None:
    reply = client.get(f"{API}/runs/get", params={"run_id": "no-such-run"})
    assert reply.status_code == 404
    assert reply.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer sesam", "Basic sesame", "Bearer s\u00e9same"])
def test_only_the_workspaces_jobs_are_answered(client: TestClient, header: str) -> None:
    headers = {"Authorization": header.encode()}
    reply = client.get(f"{API}/runs/get", params={"run_id": RUN}, headers=headers)
    assert (reply.status_code, reply.json()["error_code"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "path", ["/", "/graphql", "/api/2.0/mlflow-artifacts/artifacts", "/ajax-api/2.0/mlflow/runs/get"]
)
def test_nothing_else_of_mlflows_server_is_reached(client: TestClient, path: str) -> None:
    assert client.get(f"/mlflow{path}").status_code == 404
