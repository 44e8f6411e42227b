"""A store that is locked, slow, gone or contrary never stops a step, and gets what it missed."""

import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest

from bert_distillation import mlflow_run
from bert_distillation.errors import PreemptedError
from bert_distillation.mlflow_run import RunLog, finish_logging, log_metrics, log_parameters, logged_steps


@dataclass(frozen=True)
class SampleConfig:
    seed: int = 3


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A run in a store of its own, set as a job has it; and little patience."""
    file = tmp_path / "mlflow.db"
    store = f"sqlite:///{file}?timeout=0.1"
    client = mlflow.MlflowClient(store)
    run_id = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: store)
    monkeypatch.setattr(mlflow, "MlflowClient", lambda *_: client)
    monkeypatch.setattr(mlflow_run, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(mlflow_run, "SHORTEST_PAUSE", 0.05)
    monkeypatch.setattr(mlflow_run, "_logs", {})
    return SimpleNamespace(file=file, client=client, id=run_id)


def history(run: SimpleNamespace) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in run.client.get_metric_history(run.id, "loss")]


def test_a_locked_store_holds_nothing_up_and_has_everything_in_the_end(run: SimpleNamespace, capsys):
    log_metrics({"loss": 1.0}, step=1)
    other = sqlite3.connect(run.file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    start = time.monotonic()
    for step in range(2, 30):
        log_metrics({"loss": float(step)}, step=step)
    assert time.monotonic() - start < 5, "one wait, not one for each line"
    told = capsys.readouterr().err
    assert told.count("MLflow takes nothing at present") == 1
    other.execute("ROLLBACK")
    other.close()
    finish_logging()
    assert history(run) == [(step, float(step)) for step in range(1, 30)]
    assert "MLflow answers again and has everything that was logged." in capsys.readouterr().err


def test_a_store_that_is_gone_is_said_once_and_the_step_ends(monkeypatch: pytest.MonkeyPatch, capsys):
    client = mlflow.MlflowClient("http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_RUN_ID", "a")
    monkeypatch.setattr(mlflow, "MlflowClient", lambda *_: client)
    monkeypatch.setattr(mlflow_run, "_logs", {})
    assert logged_steps("loss") == set()
    for step in range(5):
        log_metrics({"loss": 1.0}, step=step)
    finish_logging(seconds=0.2)
    told = capsys.readouterr().err
    assert told.count("MLflow takes nothing at present") == 1
    assert "MLflow did not take the last 5 entries" in told


def test_a_store_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch, capsys):
    answered = threading.Event()
    client = SimpleNamespace(log_batch=lambda *_, **__: answered.wait())
    monkeypatch.setattr(mlflow_run, "PATIENCE_SECONDS", 0.3)
    log = RunLog(lambda: client, "a")
    start = time.monotonic()
    for _ in range(5):
        log.send(metrics=[])
    assert 0.3 <= time.monotonic() - start < 2
    assert "(it does not answer)" in capsys.readouterr().err
    answered.set()
    assert log.wait(5, whatever=True)
    assert not log.waiting


def test_what_the_store_refuses_is_said_and_does_not_hold_up_the_rest(run: SimpleNamespace, capsys):
    log_parameters(SampleConfig())
    log_parameters(SampleConfig(seed=4))  # MLflow never changes a parameter
    log_metrics({"loss": 2.0}, step=5)
    assert history(run) == [(5, 2.0)]
    assert "MLflow refused what was logged" in capsys.readouterr().err
    assert run.client.get_run(run.id).data.params == {"seed": "3"}


def test_the_steps_that_a_run_has_from_before_an_interruption_are_known(run: SimpleNamespace):
    for step in (10, 20):
        log_metrics({"loss": 1.0, "other": 2.0}, step=step)
    assert logged_steps("loss") == {10, 20}
    assert logged_steps("never") == set()


def test_a_clock_that_was_set_back_does_not_disturb_the_curve(run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch):
    times = iter((2e9, 1e9, 1.5e9))
    clock: Any = SimpleNamespace(time=lambda: next(times), monotonic=time.monotonic)
    monkeypatch.setattr(mlflow_run, "time", clock)
    for step in (1, 2, 3):
        log_metrics({"loss": float(step)}, step=step)
    assert sorted(history(run)) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert run.client.get_run(run.id).data.metrics["loss"] == 3.0


@pytest.mark.parametrize(
    "uri", ["sqlite:////proc/none/a.db", "foo://bar", "file:///proc/none", "sqlite:////dev/null/a"]
)
def test_a_store_that_cannot_be_opened_stops_nothing(uri: str, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("MLFLOW_RUN_ID", "a")
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)
    monkeypatch.setattr(mlflow_run, "_logs", {})
    assert logged_steps("loss") == set()
    log_metrics({"loss": 1.0}, step=1)
    log_parameters(SampleConfig())
    finish_logging(seconds=0.1)
    told = capsys.readouterr().err
    assert told.count("MLflow takes nothing at present") == 1
    assert "did not take the last 2 entries" in told


def test_a_run_that_does_not_exist_is_said_once(run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    for step in range(3):
        log_metrics({"loss": 1.0}, step=step)
    assert capsys.readouterr().err.count("MLflow refused what was logged") == 1


def test_a_store_that_did_not_take_the_last_is_waited_for_no_second_time(monkeypatch: pytest.MonkeyPatch, capsys):
    answered = threading.Event()
    log = RunLog(lambda: SimpleNamespace(log_batch=lambda *_, **__: answered.wait()), "a")
    monkeypatch.setattr(mlflow_run, "_logs", {("", "a"): log})
    waited = []
    monkeypatch.setattr(log, "wait", lambda seconds, whatever=False: waited.append(seconds))
    log.send(metrics=[])
    waited.clear()
    finish_logging(5.0)
    finish_logging()
    assert waited == [5.0]
    assert capsys.readouterr().err.count("MLflow did not take the last 1 entries") == 1
    answered.set()


def test_to_be_told_to_stop_is_no_trouble_with_the_store(monkeypatch: pytest.MonkeyPatch):
    def told(*_: object) -> None:
        raise PreemptedError("told to stop")

    log = RunLog(lambda: SimpleNamespace(get_metric_history=told), "a")
    with pytest.raises(PreemptedError):
        log.steps("loss")
