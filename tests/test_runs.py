"""MLflow runs under the job's own name."""

import sqlite3
import warnings
from pathlib import Path

import pytest

from azureml_local.disk import Reserve
from azureml_local.engine.runs import Runs

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('home')}/mlflow.db"


@pytest.fixture(scope="module")
def runs(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("artifacts")
    runs = Runs(uri, folder, Reserve(folder / "reserve"))
    runs.prepare()
    return runs


@pytest.fixture
def client(uri: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(uri)


def test_a_run_has_the_job_name_as_its_id(runs: Runs, client: mlflow.MlflowClient, tmp_path: Path) -> None:
    runs.create("calm_river_0123456789", "trials", "distill", tmp_path, parent="a-group", root="the-pipeline")
    run = client.get_run("calm_river_0123456789")
    assert run.info.status == "RUNNING"
    assert run.info.run_name == "distill"
    assert run.data.tags["mlflow.parentRunId"] == "a-group"
    assert run.data.tags["mlflow.rootRunId"] == "the-pipeline"
    assert client.get_experiment(run.info.experiment_id).name == "trials"


def test_a_run_has_the_jobs_tags_and_takes_a_name_and_more_of_them(
    runs: Runs, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    runs.create("tagged", "trials", "first", tmp_path, root="whole", tags={"team": "a", "mlflow.rootRunId": "theirs"})
    runs.describe("tagged", "", {"team": "b", "size": "small", "what?": "x"})
    run = client.get_run("tagged")
    assert run.info.run_name == "first"
    own = {"mlflow.runName": "first", "mlflow.rootRunId": "whole"}
    assert run.data.tags == {"team": "b", "size": "small", **own}
    runs.finish("tagged", "Completed")
    runs.describe("tagged", "second", {})
    run = client.get_run("tagged")
    assert (run.info.run_name, run.data.tags["mlflow.runName"], run.info.status) == ("second", "second", "FINISHED")
    runs.describe("not begun", "third", {"team": "a"})


def test_a_store_that_cannot_be_opened_keeps_nobody_from_a_new_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mlflow.db").write_text("no database")
    Runs(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, Reserve(tmp_path / "reserve")).describe("a", "name", {})
    assert "MLflow was not told the name and the tags of a" in caplog.text


@pytest.mark.parametrize(
    ("job_status", "run_status"), [("Completed", "FINISHED"), ("Failed", "FAILED"), ("Canceled", "KILLED")]
)
def test_a_run_ends_as_its_job_did(
    runs: Runs, client: mlflow.MlflowClient, tmp_path: Path, job_status: str, run_status: str
) -> None:
    name = f"job-{job_status}"
    runs.create(name, "trials", name, tmp_path)
    runs.finish(name, job_status)
    run = client.get_run(name)
    assert run.info.status == run_status
    assert run.info.end_time >= run.info.start_time


def test_a_run_takes_metrics_and_artifacts(runs: Runs, client: mlflow.MlflowClient, tmp_path: Path) -> None:
    runs.create("logging", "trials", "logging", tmp_path / "artifacts")
    (tmp_path / "figure.txt").write_text("a curve")
    client.log_metric("logging", "loss", 0.5, step=3)
    client.log_artifact("logging", str(tmp_path / "figure.txt"))
    assert client.get_run("logging").data.metrics == {"loss": 0.5}
    assert [file.path for file in client.list_artifacts("logging")] == ["figure.txt"]


def test_a_copy_has_the_parameters_and_every_point_of_the_curves(
    runs: Runs, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    for name in ("first", "again"):
        runs.create(name, "trials", name, tmp_path)
    client.log_param("first", "seed", 1)
    for step, loss in enumerate((0.5, 0.25)):
        client.log_metric("first", "loss", loss, step=step)
    runs.copy("first", "again")
    assert client.get_run("again").data.params == {"seed": "1"}
    assert [(point.step, point.value) for point in client.get_metric_history("again", "loss")] == [(0, 0.5), (1, 0.25)]
    assert runs.metric("again", "loss") == 0.25
    assert runs.metric("again", "accuracy") is None


def test_runs_of_one_experiment_share_it_and_others_do_not(
    runs: Runs, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    for name, experiment in (("a", "one"), ("b", "one"), ("c", "two")):
        runs.create(name, experiment, name, tmp_path)
    a, b, c = (client.get_run(name).info.experiment_id for name in "abc")
    assert a == b != c


def test_runs_that_died_with_a_workspace_have_failed_when_it_starts_again(
    uri: str, runs: Runs, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    runs.create("died", "trials", "died", tmp_path)
    runs.create("ended", "trials", "ended", tmp_path)
    runs.finish("ended", "Canceled")
    own = client.create_run(client.get_run("died").info.experiment_id).info.run_id  # a notebook's, say: it lives on
    Runs(uri, tmp_path, Reserve(tmp_path / "reserve")).prepare()
    found = {name: client.get_run(name).info for name in ("died", "ended", own)}
    assert [info.status for info in found.values()] == ["FAILED", "KILLED", "RUNNING"]
    assert found["died"].end_time >= found["died"].start_time


def test_a_database_is_there_only_when_it_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "home" / "mlflow.db"
    uri = f"sqlite:///{database}"

    def stop(engine: object) -> None:
        raise InterruptedError("the workspace was told to end")

    with monkeypatch.context() as patched:
        patched.setattr("mlflow.store.db.utils._upgrade_db", stop)
        with pytest.raises(InterruptedError):
            Runs(uri, tmp_path, Reserve(tmp_path / "reserve")).prepare()
    assert list(database.parent.iterdir()) == []
    Runs(uri, tmp_path, Reserve(tmp_path / "reserve")).prepare()
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert {path.name for path in database.parent.iterdir()} <= {"mlflow.db", "mlflow.db-wal", "mlflow.db-shm"}
