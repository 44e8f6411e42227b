"""MLflow runs whose id is the job's name, as on Azure, in the database that the jobs themselves write to.

mlflow is imported on first use: it takes seconds, and a workspace should answer before that. Two threads must not do so
at once, which its circular imports do not survive: the lock around the store comes before every other import of it.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from azureml_local.disk import Reserve

if TYPE_CHECKING:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

logger = logging.getLogger(__name__)

SQLITE = "sqlite:///"
ROOT_RUN_ID = "mlflow.rootRunId"  # a tag of Azure's runs
_OPENING = threading.Lock()  # MLflow makes tables with alembic, which keeps what it does in globals
MOST_PARAMS, MOST_METRICS = 100, 1000  # that MLflow takes at once
NO_TAGS: Mapping[str, str] = MappingProxyType({})
RUN_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}


class Runs:
    """The runs of a workspace. Safe to use from several threads."""

    def __init__(self, tracking_uri: str, artifacts: Path, reserve: Reserve) -> None:
        """Keep runs at `tracking_uri`, `sqlite:///<file>`, and their files under `artifacts`.

        reserve: the room on the disk for how they end.
        One process at a time keeps a workspace's runs: what an earlier one left running is marked as failed.
        """
        self._tracking_uri = tracking_uri
        self._artifacts = artifacts
        self._reserve = reserve
        self._lock = threading.Lock()
        self._opened: SqlAlchemyStore | None = None

    def prepare(self) -> None:
        """Make the database ready, which takes seconds the first time; jobs may open it once this has returned."""
        self._store()

    def create(
        self,
        run_id: str,
        experiment: str,
        name: str,
        artifacts: Path,
        parent: str | None = None,
        root: str = "",
        tags: Mapping[str, str] = NO_TAGS,
    ) -> None:
        """Begin a run with an id of our choice; the experiment is made where there is none of that name.

        artifacts: the folder for the files that are logged to the run. root: the submitted job that the run is part of,
        by which Azure's samples search; without it the run itself. tags: the user's.
        """
        store = self._store()
        experiment_id = self._experiment(store, experiment)

        from mlflow.entities import LifecycleStage, RunStatus, SourceType
        from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

        own = {MLFLOW_RUN_NAME: name, ROOT_RUN_ID: root or run_id}
        own |= {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
        # The store's own create_run makes up the id; the row is what it would write otherwise.
        run = SqlRun(
            run_uuid=run_id,
            name=name,
            experiment_id=experiment_id,
            artifact_uri=str(artifacts),
            source_type=SourceType.to_string(SourceType.JOB),
            source_name="",
            entry_point_name="",
            source_version="",
            user_id="local",
            status=RunStatus.to_string(RunStatus.RUNNING),
            start_time=_now(),
            lifecycle_stage=LifecycleStage.ACTIVE,
        )
        run.tags = [SqlTag(key=key, value=value) for key, value in {**tags, **own}.items()]
        with store.ManagedSessionMaker(read_only=False) as session:
            session.add(run)

    def finish(self, run_id: str, job_status: str) -> None:
        """Give a run the status of its job (Completed, Failed or Canceled), whatever its script left there."""
        store = self._store()

        from mlflow.entities import RunStatus

        status, now = RunStatus.from_string(RUN_STATUS[job_status]), _now()
        self._reserve.insist(lambda: store.update_run_info(run_id, status, now, run_name=None))

    def describe(self, run_id: str, name: str, tags: Mapping[str, str]) -> None:
        """Give a run a name, unless that is empty, and tags beside those that it has; where there is none, nothing.

        Nor where MLflow's store cannot be opened: what the job is called has been changed all the same.
        """
        try:
            if not self.has(run_id):
                return
        except Exception:  # of the database, SQLAlchemy or MLflow, each in its own class
            logger.exception("MLflow was not told the name and the tags of %s", run_id)
            return
        store = self._store()

        from mlflow.entities import RunTag
        from mlflow.exceptions import MlflowException
        from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

        for key, value in {**tags, **({MLFLOW_RUN_NAME: name} if name else {})}.items():
            with suppress(MlflowException):  # a run that was deleted, or a text that MLflow does not take
                store.set_tag(run_id, RunTag(key, value))

    def has(self, run_id: str) -> bool:
        """Whether a run is there: `mlflow gc` removes what a user has deleted."""
        store = self._store()

        from mlflow.exceptions import MlflowException

        try:
            store.get_run(run_id)
        except MlflowException:
            return False
        return True

    def copy(self, source: str, target: str) -> None:
        """Give a run the parameters and metrics of another."""
        store = self._store()
        data = store.get_run(source).data
        history = [point for metric in data.metrics for point in store.get_metric_history(source, metric)]

        from mlflow.entities import Metric, Param

        metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in history]
        params = [Param(key, value) for key, value in data.params.items()]
        for start in range(0, len(params), MOST_PARAMS):
            store.log_batch(target, [], params[start : start + MOST_PARAMS], tags=[])
        for start in range(0, len(metrics), MOST_METRICS):
            store.log_batch(target, metrics[start : start + MOST_METRICS], [], tags=[])

    def metric(self, run_id: str, name: str) -> float | None:
        """The last value of a run's metric, or None."""
        value = self._store().get_run(run_id).data.metrics.get(name)
        return None if value is None else float(value)

    def _experiment(self, store: SqlAlchemyStore, name: str) -> int:
        with self._lock:
            experiment = store.get_experiment_by_name(name)
            if experiment is None:
                experiment = store.get_experiment(store.create_experiment(name))
        return int(experiment.experiment_id)

    def _store(self) -> SqlAlchemyStore:
        with self._lock, _OPENING:
            if self._opened is None:
                self._opened = _open(self._tracking_uri, self._artifacts)
        return self._opened


def _open(tracking_uri: str, artifacts: Path) -> SqlAlchemyStore:
    import sqlalchemy
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database = Path(tracking_uri.removeprefix(SQLITE))
    if not database.exists():
        _make(database, artifacts)
    store = SqlAlchemyStore(tracking_uri, str(artifacts))
    with store.engine.connect() as connection:
        # Jobs log side by side: with a write-ahead log readers do not wait for writers. The file remembers it.
        connection.execute(sqlalchemy.text("PRAGMA journal_mode = WAL"))
    _bury_the_dead(store)
    return store


def _make(database: Path, artifacts: Path) -> None:
    """Make an empty database; it gets its name when it is complete, for a half-made one could never be opened."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mlflow-", dir=database.parent) as folder:
        made = Path(folder, database.name)
        SqlAlchemyStore(f"{SQLITE}{made}", str(artifacts)).engine.dispose()  # with it go SQLite's files beside it
        if not database.exists():  # a client of the workspace may have been faster
            made.rename(database)


def _bury_the_dead(store: SqlAlchemyStore) -> None:
    """Fail the runs of jobs that ended with an earlier process; the user's own runs have another source."""
    from mlflow.entities import RunStatus, SourceType
    from mlflow.store.tracking.dbmodels.models import SqlRun

    with store.ManagedSessionMaker(read_only=False) as session:
        dead = session.query(SqlRun).filter_by(
            status=RunStatus.to_string(RunStatus.RUNNING), source_type=SourceType.to_string(SourceType.JOB)
        )
        dead.update({"status": RunStatus.to_string(RunStatus.FAILED), "end_time": _now()})


def _now() -> int:
    return int(time.time() * 1000)
