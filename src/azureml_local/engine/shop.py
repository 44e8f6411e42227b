"""What all pipelines of a workspace work with: its folders, its runs, its processes and its cores."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from azureml_local.disk import Reserve
from azureml_local.engine.commands import cores
from azureml_local.engine.reuse import Reuse
from azureml_local.engine.runs import Runs
from azureml_local.environments.job_environments import Interpreter, JobEnvironments
from azureml_local.processes import Groups


class Slots:
    """How many nodes run together, and what that leaves of the cores for each process."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._lock = threading.Lock()
        self._process_counts: dict[str, int] = {}  # of the nodes that run, or wait for a slot only

    def claim(self, job: str, process_count: int) -> None:
        """Count a node in: its inputs are there."""
        with self._lock:
            self._process_counts[job] = process_count

    def release(self, job: str) -> None:
        """Count a node out: it has finished."""
        with self._lock:
            self._process_counts.pop(job, None)

    def threads(self) -> int:
        """Threads for a process that starts now, so that all that may run together share the cores."""
        with self._lock:
            together = sorted(self._process_counts.values(), reverse=True)[: self.count]
        return max(1, cores() // max(1, sum(together)))


@dataclass
class Tracking:
    """Where jobs log to: the database, or MLflow's REST interface where they bring an MLflow of their own."""

    database: str
    rest: dict[str, str] = field(default_factory=dict)  # variables; empty until the workspace answers there

    def variables(self, interpreter: Interpreter) -> dict[str, str]:
        """What tells MLflow where to log. A database can only be opened by the MLflow that made it."""
        own_packages = interpreter.is_built or interpreter.below is not None
        return self.rest if own_packages and self.rest else {"MLFLOW_TRACKING_URI": self.database}


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What all pipelines of a workspace work with."""

    home: Path
    tracking: Tracking
    environments: JobEnvironments
    runs: Runs
    groups: Groups
    reserve: Reserve
    slots: Slots
    reuse: Reuse
    workers: ThreadPoolExecutor  # one thread for each slot
