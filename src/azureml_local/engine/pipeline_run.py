"""One pipeline from its submission to its end: each node is started when all that it needs has completed."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any

from azureml_local.engine.changes import FINAL, JobChange, Journal, Listener, now, why_given_up
from azureml_local.engine.plan import Group, Plan, Task
from azureml_local.engine.shop import Shop
from azureml_local.engine.sweeps import Turns, best_trial, unlike_azure
from azureml_local.engine.task_run import TaskRun, link_outputs
from azureml_local.spec import Pipeline

logger = logging.getLogger(__name__)


class PipelineRun:
    """A pipeline that runs once; everything but `cancel` is called by one thread and by the shop's workers."""

    def __init__(self, pipeline: Pipeline, plan: Plan, shop: Shop, listener: Listener) -> None:
        self._pipeline = pipeline
        self._plan = plan
        self._shop = shop
        self._lock = threading.RLock()
        self._running: dict[str, TaskRun] = {}
        self._futures: dict[str, Future[None]] = {}
        self._finished: SimpleQueue[str] = SimpleQueue()
        self._stopped = ""  # why nothing more is started
        self._cancelled = False  # by somebody
        self._sweeps = {name: Turns(group.sweep) for name, group in plan.groups.items() if group.sweep}
        self._sweep_of = {task: name for name in self._sweeps for task in plan.groups[name].tasks}
        self._steps = plan.jobs()
        self._stands_alone = pipeline.name in self._steps  # then the job is its own only node
        folder = shop.home / "jobs" / pipeline.name / "logs"
        log = None if self._stands_alone else folder / "logs" / "azureml" / "executionlogs.txt"
        own = JobChange(name=pipeline.name, parent=None, node=pipeline.name, status="NotStarted", log_folder=folder)
        self.journal = Journal([own, *map(_new_job, self._steps.values())], listener, log, shop.reserve)

    def run(self) -> None:
        """Run all nodes to their end; afterwards every job has a final status, whatever happened."""
        try:
            if self._stands_alone:
                self._run_steps()
            else:
                self._run_pipeline()
        except Exception as bug:
            logger.exception("The pipeline %s was given up", self._pipeline.name)
            self._give_up(why_given_up(bug))

    def cancel(self, reason: str = "the job was cancelled") -> None:
        """Ask it to end; returns at once."""
        with self._lock:
            if not self._stopped and self.journal[self._pipeline.name].status not in FINAL:
                self._cancelled = True
                self.journal.tell(self._pipeline.name, status="CancelRequested")
                self._stop(reason)

    def _run_pipeline(self) -> None:
        name, runs = self._pipeline.name, self._shop.runs
        self._advance(name, "Preparing", start_time=now())
        title = self._pipeline.display_name or name
        logs = self._shop.home / "jobs" / name / "logs"
        runs.create(name, self._pipeline.experiment_name, title, logs, tags=self._pipeline.tags)
        self._advance(name, "Running")
        self._run_steps()
        status, error = self._result()
        runs.finish(name, status)
        self.journal.end(name, status, error, self._plan.outputs)

    def _give_up(self, reason: str) -> None:
        self._stop(reason)
        wait(self._futures.values())
        for task in self._plan.tasks.values():
            self._shop.slots.release(task.job)
        for job, step in self._steps.items():
            if self.journal[job].status not in FINAL and not self._stands_alone:
                self.journal.end(job, "Canceled", f'node "{step.name}" was ended: {reason}')
        if self.journal[self._pipeline.name].status not in FINAL:
            self.journal.end(self._pipeline.name, "Failed", reason, self._plan.outputs)

    def _advance(self, job: str, status: str, **changes: Any) -> None:
        """Report a next step, unless the end is decided already."""
        with self._lock:
            if not self._stopped:
                self.journal.tell(job, status=status, **changes)

    def _run_steps(self) -> None:
        order = self._plan.order()
        while order.is_active():
            ready = order.get_ready()
            tasks = [self._plan.tasks[step] for step in ready if step in self._plan.tasks]
            begun = [task for task in tasks if self._may_begin(task)]
            for task in begun:  # all of them before the first starts: they share the cores
                self._shop.slots.claim(task.job, task.process_count)
            for task in begun:
                self._submit(task)
            for sweep in (step for step in ready if step in self._sweeps):
                self._end_sweep(self._plan.groups[sweep])
                self._finished.put(sweep)
            order.done(self._next_finished())

    def _next_finished(self) -> str:
        step = self._finished.get()
        if task := self._plan.tasks.get(step):
            self._shop.slots.release(task.job)
            if (sweep := self._sweep_of.get(step)) and (waiting := self._sweeps[sweep].leave()):
                self._shop.slots.claim(waiting.job, waiting.process_count)
                self._submit(waiting)
        # A trial that fails is a result; only a sweep without any result fails.
        if (
            self._status(step) == "Failed"
            and step not in self._sweep_of
            and not self._pipeline.continue_on_step_failure
        ):
            self._stop(f'node "{step}" failed')
        self._end_graphs()
        return step

    def _may_begin(self, task: Task) -> bool:
        """Whether it gets the next slot; a trial may have to wait for its turn, and what lacks an input is skipped."""
        missing = sorted(step for step in task.needs if self._status(step) != "Completed")
        with self._lock:
            if self._stopped or missing:
                self._skip(task, self._stopped or f'node "{missing[0]}" did not complete')
                return False
            self.journal.tell(task.job, status="Queued")
            sweep = self._sweep_of.get(task.name)
            return sweep is None or self._sweeps[sweep].enter(task)

    def _submit(self, task: Task) -> None:
        with self._lock:
            if self._stopped:
                self._skip(task, self._stopped)
                return
            self._futures[task.name] = self._shop.workers.submit(self._run_task, task)

    def _skip(self, task: Task, reason: str) -> None:
        self._tell_skipped(task, reason)
        self._finished.put(task.name)

    def _tell_skipped(self, task: Task, reason: str) -> None:
        self.journal.end(task.job, "Canceled", f'node "{task.name}" was not run: {reason}')

    def _stop(self, reason: str) -> None:
        """Start nothing more and end what runs, without waiting for it."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = reason
            for turns in self._sweeps.values():
                for task in turns.give_up():
                    self._skip(task, reason)
            for name, future in self._futures.items():
                if future.cancel():
                    self._skip(self._plan.tasks[name], reason)
            for running in self._running.values():
                threading.Thread(target=running.end, args=(reason,), daemon=True).start()

    def _run_task(self, task: Task) -> None:
        try:
            self._run_claimed(task)
        except Exception as bug:
            logger.exception("The job %s was given up", task.job)
            self.journal.end(task.job, "Failed", f'node "{task.name}" failed: {why_given_up(bug)}')
        finally:
            with self._lock:
                self._running.pop(task.name, None)
            self._finished.put(task.name)

    def _run_claimed(self, task: Task) -> None:
        self._begin_groups(task)
        run = TaskRun(task, self._pipeline, self._shop, self.journal, self._advance)
        sweep = self._sweep_of.get(task.name)
        left = self._sweeps[sweep].time_left() if sweep else None
        if left is not None:
            run.timeout = min(left, run.timeout or left)
        with self._lock:
            self._running[task.name] = run
            if self._stopped:
                run.end(self._stopped)
        if left is not None and left <= 0:
            self._tell_skipped(task, f'the sweep "{sweep}" has used up its time')
        else:
            run.run()

    def _begin_groups(self, task: Task) -> None:
        """Let the groups around a task run from now on; those around others begin first."""
        around = [group for group in self._plan.groups.values() if task.name in group.tasks]
        with self._lock:
            for group in around:
                if self.journal[group.job].status == "NotStarted" and not self._stopped:
                    experiment, root = self._pipeline.experiment_name, self._pipeline.name
                    node, logs = group.node, group.folder / "logs"
                    self._shop.runs.create(group.job, experiment, node.title, logs, group.parent, root, node.tags)
                    warnings = unlike_azure(group.sweep) if group.sweep else ()
                    self.journal.tell(group.job, status="Running", start_time=now(), warnings=warnings)

    def _end_graphs(self) -> None:
        """End the graphs whose nodes have all ended, the inner ones first."""
        with self._lock:
            for group in reversed(self._plan.groups.values()):
                if group.sweep or self.journal[group.job].status in FINAL:
                    continue
                inside = [self.journal[job] for job, step in self._steps.items() if step.parent == group.job]
                ended = all(job.status in FINAL for job in inside)
                if ended:
                    status = _worst(inside)
                    failed = [job.error for job in inside if job.status == status]
                    self._end_group(group, status, None if status == "Completed" else failed[0])

    def _end_sweep(self, sweep: Group) -> None:
        try:
            self._choose(sweep)
        except Exception as bug:
            logger.exception("The sweep %s was given up", sweep.job)
            self.journal.end(sweep.job, "Failed", f'node "{sweep.name}" failed: {why_given_up(bug)}')

    def _choose(self, sweep: Group) -> None:
        """End a sweep: its outputs are those of its best trial."""
        assert sweep.sweep
        metric = sweep.sweep.primary_metric
        trials = {name: self._plan.tasks[name] for name in sweep.tasks}
        completed = [name for name in trials if self._status(name) == "Completed"]
        metrics = {name: self._shop.runs.metric(trials[name].job, metric) for name in completed}
        best = best_trial(metrics, sweep.sweep.maximize)
        if self._stopped and any(self._status(name) == "Canceled" for name in trials):
            self._end_group(sweep, "Canceled", f'node "{sweep.name}" was ended: {self._stopped}')
        elif best:
            link_outputs(sweep.folder, sweep.outputs, trials[best].outputs)
            self._shop.runs.copy(trials[best].job, sweep.job)
            self._end_group(sweep, "Completed", None, best_trial=trials[best].job)
        elif all(self._status(name) == "Canceled" for name in trials):
            reason = self.journal[next(iter(trials.values())).job].error
            self._end_group(sweep, "Canceled", f'node "{sweep.name}" has no result: {reason}')
        else:
            reason = f'none of its {len(trials)} trials logged the metric "{metric}" and completed'
            errors = [self.journal[trials[name].job].error for name in trials if self._status(name) == "Failed"]
            detail = f"; one of them: {errors[0]}" if errors else ""
            self._end_group(sweep, "Failed", f'node "{sweep.name}" failed: {reason}{detail}')

    def _end_group(self, group: Group, status: str, error: str | None, **changes: str) -> None:
        if self.journal[group.job].start_time:  # else it has no MLflow run
            self._shop.runs.finish(group.job, status)
        outputs = group.outputs if status == "Completed" else {}
        self.journal.end(group.job, status, error, outputs, **changes)

    def _status(self, step: str) -> str:
        job = self._plan.tasks[step].job if step in self._plan.tasks else self._plan.groups[step].job
        return self.journal[job].status

    def _result(self) -> tuple[str, str | None]:
        top = [self.journal[job] for job, step in self._steps.items() if step.parent == self._pipeline.name]
        failed = [job for job in top if job.status == "Failed"]
        if failed and not self._cancelled:
            return "Failed", min(failed, key=lambda job: job.end_time or now()).error
        status = "Canceled" if failed else _worst(top)
        return status, None if status == "Completed" else self._stopped or None


def _new_job(step: Task | Group) -> JobChange:
    return JobChange(
        name=step.job,
        parent=step.parent,
        node=step.name,
        status="NotStarted",
        log_folder=step.folder / "logs",
    )


def _worst(jobs: list[JobChange]) -> str:
    statuses = {job.status for job in jobs}
    return next((status for status in ("Failed", "Canceled") if status in statuses), "Completed")
