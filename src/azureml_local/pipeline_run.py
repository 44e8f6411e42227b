"""One pipeline from its submission to its end: each node is started when all that it needs has completed."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from azureml_local.changes import FINAL, JobChange, Journal, Listener, now
from azureml_local.commands import Command, cores, job_variables
from azureml_local.plan import Plan, Task
from azureml_local.processes import Groups
from azureml_local.runs import Runs
from azureml_local.spec import Pipeline

logger = logging.getLogger(__name__)


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
    workers: ThreadPoolExecutor  # one thread for each slot


class PipelineRun:
    """A pipeline that runs once; everything but `cancel` is called by one thread and by the shop's workers."""

    def __init__(self, pipeline: Pipeline, plan: Plan, shop: Shop, listener: Listener) -> None:
        self._pipeline = pipeline
        self._plan = plan
        self._shop = shop
        self._lock = threading.RLock()
        self._commands: dict[str, Command] = {}
        self._futures: dict[str, Future[None]] = {}
        self._finished: SimpleQueue[str] = SimpleQueue()
        self._stopped = ""  # why nothing more is started
        self._stands_alone = pipeline.name in {task.node.job_name for task in plan.tasks.values()}
        folder = shop.home / "jobs" / pipeline.name / "logs"
        log = None if self._stands_alone else folder / "logs" / "azureml" / "executionlogs.txt"
        own = JobChange(name=pipeline.name, parent=None, node=pipeline.name, status="NotStarted", log_folder=folder)
        # A stand-alone job has the pipeline's id, and its node takes the place of the pipeline here.
        self.journal = Journal([own, *map(self._new_job, plan.tasks.values())], listener, log)

    def run(self) -> None:
        """Run all nodes to their end."""
        if self._stands_alone:
            self._run_nodes()
            return
        name, runs = self._pipeline.name, self._shop.runs
        self._advance(name, "Preparing", start=True)
        try:
            runs.create(name, self._pipeline.experiment_name, self._pipeline.display_name or name)
            self._advance(name, "Running")
            self._run_nodes()
            status, error = self._result()
            runs.finish(name, status)
        except Exception as bug:
            logger.exception("The pipeline %s was given up", name)
            self._stop("the local workspace failed")
            status, error = "Failed", f"the local workspace failed: {bug!r}"
        self.journal.end(name, status, error, self._plan.outputs)

    def cancel(self) -> None:
        """Ask it to end; returns at once."""
        with self._lock:
            if not self._stopped and self.journal[self._pipeline.name].status not in FINAL:
                self.journal.tell(self._pipeline.name, status="CancelRequested")
                self._stop("the job was cancelled")

    def _new_job(self, task: Task) -> JobChange:
        job = task.node.job_name
        parent = None if job == self._pipeline.name else self._pipeline.name
        return JobChange(name=job, parent=parent, node=task.node.name, status="NotStarted", log_folder=task.log_folder)

    def _advance(self, job: str, status: str, start: bool = False) -> None:
        """Report a next step, unless the end is decided already."""
        with self._lock:
            if not self._stopped:
                self.journal.tell(job, status=status, **({"start_time": now()} if start else {}))

    def _run_nodes(self) -> None:
        order = self._plan.order()
        while order.is_active():
            ready = [self._plan.tasks[node] for node in order.get_ready()]
            for task in ready:  # all of them before the first starts: they share the cores
                self._shop.slots.claim(task.node.job_name, task.process_count)
            for task in ready:
                self._start(task)
            finished = self._finished.get()
            self._shop.slots.release(self._plan.tasks[finished].node.job_name)
            if self._status(finished) == "Failed" and not self._pipeline.continue_on_step_failure:
                self._stop(f'node "{finished}" failed')
            order.done(finished)

    def _start(self, task: Task) -> None:
        missing = sorted(node for node in task.needs if self._status(node) != "Completed")
        with self._lock:
            if self._stopped or missing:
                self._skip(task, self._stopped or f'node "{missing[0]}" did not complete')
                return
            self.journal.tell(task.node.job_name, status="Queued")
            self._futures[task.node.name] = self._shop.workers.submit(self._run_node, task)

    def _skip(self, task: Task, reason: str) -> None:
        self.journal.end(task.node.job_name, "Canceled", f'node "{task.node.name}" was not run: {reason}')
        self._finished.put(task.node.name)

    def _stop(self, reason: str) -> None:
        """Start nothing more and end what runs, without waiting for it."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = reason
            for name, future in self._futures.items():
                if future.cancel():
                    self._skip(self._plan.tasks[name], reason)
            for command in self._commands.values():
                threading.Thread(target=command.end, args=(reason,), daemon=True).start()

    def _run_node(self, task: Task) -> None:
        job, runs = task.node.job_name, self._shop.runs
        self._advance(job, "Preparing", start=True)
        try:
            parent = self.journal[job].parent
            runs.create(job, self._pipeline.experiment_name, task.node.display_name or task.node.name, parent)
            status, error = self._run_command(task)
            runs.finish(job, status)
        except Exception as bug:
            logger.exception("The job %s was given up", job)
            status, error = "Failed", f'node "{task.node.name}": the local workspace failed: {bug!r}'
        self.journal.end(job, status, error, task.outputs)
        self._finished.put(task.node.name)

    def _run_command(self, task: Task) -> tuple[str, str | None]:
        shop = self._shop
        variables = job_variables(task, self._pipeline, shop.home, shop.tracking_uri, shop.slots.threads())
        command = Command(task, variables, shop.groups)
        with self._lock:
            self._commands[task.node.name] = command
            if self._stopped:
                command.end(self._stopped)
        try:
            command.prepare()
            self._advance(task.node.job_name, "Running")
            return command.run()
        finally:
            with self._lock:
                del self._commands[task.node.name]

    def _status(self, node: str) -> str:
        return self.journal[self._plan.tasks[node].node.job_name].status

    def _result(self) -> tuple[str, str | None]:
        jobs = [self.journal[task.node.job_name] for task in self._plan.tasks.values()]
        failed = [job for job in jobs if job.status == "Failed"]
        if failed:
            return "Failed", min(failed, key=lambda job: job.end_time or now()).error
        if any(job.status == "Canceled" for job in jobs):
            return "Canceled", self._stopped
        return "Completed", None
