"""What becomes of jobs, as told to whoever listens."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from azureml_local.disk import Reserve, is_full

FINAL = frozenset({"Completed", "Failed", "Canceled"})

PAUSE = 1.0  # seconds until an end is told again

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class JobChange:
    """What a job has just become. Every change carries the whole truth, so a listener may simply keep the last one."""

    name: str  # the job's id, which is its MLflow run id as well
    parent: str | None  # the pipeline job's id; None for the pipeline itself and for a stand-alone job
    node: str  # the node's name in the pipeline; the pipeline's own name for the pipeline
    status: str  # NotStarted, Queued, Preparing, Running, CancelRequested, Canceled, Failed or Completed
    start_time: datetime | None = None  # aware, UTC
    end_time: datetime | None = None
    error: str | None = None  # a sentence, with the last lines of the log where there is one
    outputs: dict[str, Path] = field(default_factory=dict)  # those that are there
    log_folder: Path | None = None  # a file's path in it is Azure's name for the log, as in user_logs/std_log.txt
    reused: str | None = None  # the earlier job whose outputs it has, where it was not run
    reused_root: str | None = None  # the pipeline job of that one
    best_trial: str | None = None  # the job of a sweep's best trial
    warnings: tuple[str, ...] = ()  # what may be wrong with the place that it runs in, a sentence each


class Listener(Protocol):
    """Who wants to know what becomes of jobs."""

    def job_changed(self, change: JobChange) -> None:
        """Take a change, without calling the engine. Called from its threads, one pipeline's changes in order."""


class Journal:
    """The jobs of one pipeline as they are now; every change is told to the listener and written to a log."""

    def __init__(self, jobs: Iterable[JobChange], listener: Listener, log: Path | None, reserve: Reserve) -> None:
        """Begin with `jobs`, the first of them the pipeline's own; `log` is None for a job that stands alone.

        reserve: the room on the disk for how they end.
        """
        self._jobs = {job.name: job for job in jobs}
        self._listener = listener
        self._log = log
        self._reserve = reserve
        self._lock = threading.Lock()

    def __getitem__(self, job: str) -> JobChange:
        """The job's last change."""
        return self._jobs[job]

    def announce(self) -> None:
        """Tell all jobs as they are."""
        for job in self._jobs:
            self.tell(job)

    def tell(self, job: str, **changes: Any) -> None:
        """Report a job with some fields changed; a listener's mistake does not stop the pipeline.

        The end of a job is told until it is taken: on a disk that is full, until there is room. Afterwards it is at its
        end for good: a wish to cancel it that comes too late is not reported.
        """
        with self._lock:
            change = replace(self._jobs[job], **changes)
            if self._jobs[job].status in FINAL and change.status not in FINAL:
                return
            self._jobs[job] = change
            try:
                self._write(change)
            except OSError:  # a full disk must not stop what tells of it
                logger.exception("The log of the pipeline could not be written")
            is_settled = self._tell_listener(change)
        while not is_settled and change.status in FINAL:
            if not self._reserve.spend():
                time.sleep(PAUSE)
            with self._lock:
                is_settled = self._tell_listener(change)

    def _tell_listener(self, change: JobChange) -> bool:
        """Whether it has taken the change, or never will."""
        try:
            self._listener.job_changed(change)
        except Exception as error:
            logger.exception("The listener did not take %s", change)
            return not is_full(error)
        return True

    def end(
        self, job: str, status: str, error: str | None, outputs: dict[str, Path] | None = None, **changes: Any
    ) -> None:
        """Report the final status of a job, with those of its outputs that are there."""
        written = {name: path for name, path in (outputs or {}).items() if path.exists()}
        self.tell(job, status=status, end_time=now(), error=error, outputs=written, **changes)

    def _write(self, change: JobChange) -> None:
        if self._log is None:
            return
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a") as stream:
            error = f": {change.error}" if change.error else ""
            stream.write(f"[{now():%Y-%m-%d %H:%M:%SZ}] {change.node} is {change.status}{error}\n")


def why_given_up(error: Exception) -> str:
    """Why a job was given up, for its user: what the system refused, or a mistake of the workspace's own."""
    if is_full(error):
        return "the disk of the workspace is full; make room and submit the job again"
    return str(error) if isinstance(error, OSError) else f"the local workspace failed: {error!r}"


def now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)
