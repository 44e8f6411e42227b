"""Jobs as the workspace's store has them, without running any: for the tests of the page."""

import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvicorn
import yaml

from azureml_local.certificates import server_certificate
from azureml_local.home import Home
from azureml_local.jobs import RUNS
from azureml_local.rest.app import create_app
from azureml_local.workspace import Workspace
from conftest import ROOT

# The tables of MLflow that are read; making the real ones takes seconds.
TABLES = """
CREATE TABLE metrics (
    "key" VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL, run_uuid VARCHAR(32) NOT NULL,
    step BIGINT DEFAULT '0' NOT NULL, is_nan BOOLEAN DEFAULT '0' NOT NULL,
    PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan)
);
CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);
CREATE TABLE params (
    "key" VARCHAR(250) NOT NULL, value VARCHAR(8000) NOT NULL, run_uuid VARCHAR(32) NOT NULL,
    PRIMARY KEY ("key", run_uuid)
);
"""


class PageState:
    """Writes what the engine and the jobs would write."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.home = workspace.home.path

    def put(self, job: str, parent: str | None = None, **fields: Any) -> None:
        """Make a run, or change fields of one."""
        known = self.workspace.jobs.run(job)
        root = self.workspace.jobs.run(parent).body["root"] if parent else job
        new = {
            "experiment": "tests", "root": root, "parent": parent, "hidden": False, "type": "Command", "node": job,
            "displayName": "", "description": "", "tags": {}, "properties": {}, "name": job, "status": "NotStarted",
            "start_time": None, "end_time": None, "error": None, "outputs": {},
            "log_folder": str(self.folder(job) / "logs"),
        }  # fmt: skip
        body = {**(known.body if known else new), **fields}
        self.workspace.store.put(RUNS, job, "", body)

    def folder(self, job: str) -> Path:
        """A job's folder."""
        return self.home / "jobs" / job

    def run(self, job: str, status: str, start: float, end: float | None = None, **fields: Any) -> None:
        """Say how a job is and when it ran, in seconds from now."""
        self.put(job, status=status, start_time=ago(start), end_time=None if end is None else ago(end), **fields)

    def log(self, job: str, text: str, name: str = "user_logs/std_log.txt") -> None:
        """Append to a job's log."""
        log = self.folder(job) / "logs" / name
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", newline="") as stream:
            stream.write(text)

    def output(self, job: str, name: str, files: dict[str, str]) -> Path:
        """Write an output."""
        folder = self.folder(job) / "outputs" / name
        for file, text in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        self.put(job, outputs={**self.workspace.jobs.run(job).body["outputs"], name: str(folder)})
        return folder

    def metrics(self, job: str, key: str, points: list[tuple[int, float]]) -> None:
        """Log points of a metric."""
        rows = [(key, value, 1_700_000_000_000 + step, job, step) for step, value in points]
        self._insert('INSERT INTO metrics ("key", value, timestamp, run_uuid, step) VALUES (?, ?, ?, ?, ?)', rows)

    def params(self, job: str, **values: str) -> None:
        """Log parameters."""
        self._insert("INSERT INTO params VALUES (?, ?, ?)", [(key, value, job) for key, value in values.items()])

    def _insert(self, statement: str, rows: list[tuple]) -> None:
        database = self.home / "mlflow.db"
        is_new = not database.exists()
        with closing(sqlite3.connect(database)) as connection:
            if is_new:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.executescript(TABLES)
            with connection:
                connection.executemany(statement, rows)


def ago(seconds: float) -> str:
    """A time that has gone, as the store has it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def put_quickstart(state: PageState, root: str = "quickstart-job") -> dict[str, str]:
    """The pipeline of the quickstart before its start; the names of its nodes' jobs."""
    pipeline = yaml.safe_load((ROOT / "pipelines" / "quickstart.yml").read_text())
    state.put(
        root, type="Pipeline", displayName="quickstart", experiment="quickstart", description=pipeline["description"]
    )
    jobs = {name: f"{root}-{name}" for name in pipeline["jobs"]}
    for name, node in pipeline["jobs"].items():
        given = {key: str(value) for key, value in node["inputs"].items()}
        needs = sorted(set(re.findall(r"parent\.jobs\.(\w+)\.outputs", " ".join(given.values()))))
        command = f"python -m bert_distillation.{Path(node['component']).stem}" + "".join(
            f" --{key} {value}" for key, value in given.items()
        )
        state.put(jobs[name], root, node=name, needs=[jobs[need] for need in needs], given=given, command=command,
                  environment="bert-distillation-training: this machine's Python")  # fmt: skip
    return jobs


def put_many(state: PageState, root: str, count: int) -> None:
    """A pipeline of `count` nodes in layers of ten."""
    state.put(root, type="Pipeline", displayName=root)
    for number in range(count):
        needs = [f"{root}-{number - 10 - shift}" for shift in (0, 1) if number - 10 - shift >= 0]
        state.put(f"{root}-{number}", root, node=f"node_{number}", needs=needs, given={"seed": str(number)})


@contextmanager
def opened(folder: Path) -> Iterator[PageState]:
    """A workspace without jobs, and without the engine, which would begin to load MLflow."""
    home = Home(folder)
    home.create()
    with patch("azureml_local.jobs.Engine"):
        workspace = Workspace(home)
    try:
        yield PageState(workspace)
    finally:
        workspace.close()


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list | None = None) -> None:
        """Cut the connections: a browser keeps its own open, and they would outlive the loop."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


@contextmanager
def served(state: PageState, port: int = 0) -> Iterator[str]:
    """The workspace on a port of this machine; the value is its address."""
    config = uvicorn.Config(
        create_app(state.workspace), port=port, ssl_certfile=str(server_certificate(state.workspace.home)),
        log_level="critical", lifespan="off", timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = _Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"https://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def link(state: PageState, base: str, job: str) -> str:
    """The Web View of a job."""
    return f"{base}/jobs/{job}?{state.workspace.identity.sign(f'/jobs/{job}')}"
