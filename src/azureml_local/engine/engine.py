"""Runs pipelines on this machine: nodes in the order of their data, in parallel where the graph allows it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from azureml_local.disk import Reserve
from azureml_local.engine.binding import plan
from azureml_local.engine.changes import JobChange, Listener
from azureml_local.engine.commands import cores
from azureml_local.engine.pipeline_run import PipelineRun
from azureml_local.engine.plan import Plan
from azureml_local.engine.reuse import Reuse
from azureml_local.engine.runs import Runs
from azureml_local.engine.shop import Shop, Slots, Tracking
from azureml_local.environments.job_environments import JobEnvironments
from azureml_local.processes import Groups
from azureml_local.settings import DEFAULTS, Settings
from azureml_local.spec import Data, Pipeline, SpecError, all_nodes

__all__ = ["Engine", "JobChange", "Listener"]


@dataclass(frozen=True)
class _Running:
    run: PipelineRun
    thread: threading.Thread


class Engine:
    """Runs submitted pipelines in the background and tells its listener what becomes of them."""

    def __init__(self, home: Path, listener: Listener, tracking_uri: str, settings: Settings = DEFAULTS) -> None:
        """Keep everything under `home`, and the runs at `tracking_uri`, `sqlite:///<file>`."""
        home, slots, groups = home.resolve(), Slots(settings.max_parallel or cores()), Groups()
        reserve = Reserve(home / "reserve")
        self._listener = listener
        self._shop = Shop(
            home=home,
            tracking=Tracking(tracking_uri),
            environments=JobEnvironments(home / "environments", groups, settings.build_environments),
            runs=Runs(tracking_uri, home / "artifacts", reserve),
            reuse=Reuse(home / "reuse"),
            groups=groups,
            reserve=reserve,
            slots=slots,
            workers=ThreadPoolExecutor(slots.count, thread_name_prefix="node"),
        )
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._preparing = threading.Thread(target=self._shop.runs.prepare, daemon=True)
        self._preparing.start()

    def plan(self, pipeline: Pipeline) -> Plan:
        """What a pipeline comes down to.

        Raises SpecError, naming node and field, for a pipeline that cannot be run as written.
        """
        _check_data(pipeline)
        return plan(pipeline, self._shop.home / "jobs")

    def submit(self, pipeline: Pipeline, planned: Plan | None = None) -> None:
        """Start a pipeline in the background; it and its nodes are reported as NotStarted before this returns.

        planned: its plan, where it has been made already. Raises SpecError as `plan` does; nothing is reported then.
        """
        self._shop.reserve.fill()
        run = PipelineRun(pipeline, planned or self.plan(pipeline), self._shop, self._listener)
        thread = threading.Thread(target=self._run, args=(pipeline.name, run), name=pipeline.name, daemon=True)
        with self._lock:
            if pipeline.name in self._running:
                raise SpecError(f'the job "{pipeline.name}" is running already')
            self._running[pipeline.name] = _Running(run, thread)
        run.journal.announce()
        thread.start()

    def track_over(self, variables: dict[str, str]) -> None:
        """Let jobs that bring an MLflow of their own log over REST; variables: where, as MLflow reads them."""
        self._shop.tracking.rest = variables

    def describe(self, job: str, name: str, tags: Mapping[str, str]) -> None:
        """Tell MLflow's run of a job, where it has begun, the name and the tags that the job has now."""
        self._shop.runs.describe(job, name, tags)

    def cancel(self, name: str) -> None:
        """Ask a pipeline job (or one stand-alone job) to end; unknown and finished names are left alone."""
        with self._lock:
            running = self._running.get(name)
        if running:
            running.run.cancel()

    def close(self) -> None:
        """End every process and wait until all jobs have been reported with their final status."""
        with self._lock:
            everything = list(self._running.values())
        for running in everything:
            running.run.cancel("the local workspace was ended")
        self._shop.environments.close()
        for running in everything:
            running.thread.join()
        self._shop.workers.shutdown()
        self._shop.groups.close()
        self._preparing.join()

    def _run(self, name: str, run: PipelineRun) -> None:
        try:
            run.run()
        finally:
            with self._lock:
                del self._running[name]


def _check_data(pipeline: Pipeline) -> None:
    """Data that a pipeline starts from must be there, unless a node of it writes to that place."""
    said = [
        *pipeline.outputs.values(),
        *(out for _, node in all_nodes(pipeline.nodes) for out in node.outputs.values()),
    ]
    places = [output.place.resolve() for output in said if output.place]
    given = {f'input "{name}"': value for name, value in pipeline.inputs.items()}
    for name, node in all_nodes(pipeline.nodes):
        given |= {f'node "{name}", input "{key}"': value for key, value in node.inputs.items()}
    for where, value in given.items():
        if isinstance(value, Data) and not value.path.exists() and not _is_written(value.path, places):
            raise SpecError(f"{where}: there is nothing at {value.address or value.path}")


def _is_written(path: Path, places: list[Path]) -> bool:
    return any(path.is_relative_to(place) or place.is_relative_to(path) for place in places)
