"""What all pipelines of a workspace work with: its folders, its runs, its processes and its cores."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from azureml_local.commands import cores
from azureml_local.processes import Groups
from azureml_local.reuse import Reuse
from azureml_local.runs import Runs


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


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What all pipelines of a workspace work with."""

    home: Path
    tracking_uri: str
    runs: Runs
    groups: Groups
    slots: Slots
    reuse: Reuse
    workers: ThreadPoolExecutor  # one thread for each slot
