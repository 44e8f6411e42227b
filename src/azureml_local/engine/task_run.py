"""One task from its slot to its end: an earlier job's outputs where there is an equal one, else its command."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from azureml_local.engine.changes import Journal, now, why_given_up
from azureml_local.engine.commands import Command, cores, job_variables
from azureml_local.engine.plan import Task
from azureml_local.engine.reuse import Finished, reuse_key, stamp
from azureml_local.engine.shop import Shop
from azureml_local.environments.job_environments import Interpreter, JobEnvironmentError, WaitCancelledError
from azureml_local.environments.private_layer import may_install, private_layer
from azureml_local.environments.readiness import installed
from azureml_local.spec import Pipeline, SpecError

logger = logging.getLogger(__name__)

CHANGED = (
    'node "{node}" failed: its input "{name}" ({path}) was changed while it ran, and Azure mounts an input to be read '
    "only; write to an output, or give the input `mode: rw_mount`"
)
Advance = Callable[..., None]  # (job, status, **changes): reports a next step, unless the end is decided already


class TaskRun:
    """A task that is run once, by a worker, and may be ended by another thread."""

    def __init__(self, task: Task, pipeline: Pipeline, shop: Shop, journal: Journal, advance: Advance) -> None:
        self.task = task
        self._pipeline = pipeline
        self._shop = shop
        self._journal = journal
        self._advance = advance
        self._lock = threading.Lock()
        self._command: Command | None = None
        self._ended = ""
        self._cancelled = threading.Event()
        self.timeout = task.timeout  # seconds; a sweep shortens those of its last trials

    def run(self) -> None:
        """Run the task to its end, whatever that is, and report it."""
        task, changes = self.task, dict[str, Any]()
        try:
            self._advance(task.job, "Preparing", start_time=now())
            self._create_run()
            key = self._reuse_key()
            if key and (finished := self._shop.reuse.find(key)) and self._shop.runs.has(finished.job):
                status, error = "Completed", None
                changes = self._take_over(finished)
            else:
                status, error = self._run_command()
                if key and status == "Completed":
                    self._keep(key)
            self._shop.runs.finish(task.job, status)
        except WaitCancelledError:
            status, error = "Canceled", f'node "{task.name}" was ended: {self._ended or "the workspace was ended"}'
            self._shop.runs.finish(task.job, status)
        except (JobEnvironmentError, SpecError) as problem:
            status, error = "Failed", f'node "{task.name}" failed: {problem}'
            self._shop.runs.finish(task.job, status)
        except Exception as bug:
            logger.exception("The job %s was given up", task.job)
            status, error = "Failed", f'node "{task.name}" failed: {why_given_up(bug)}'
            with contextlib.suppress(Exception):  # perhaps it was MLflow that failed
                self._shop.runs.finish(task.job, status)
        self._journal.end(task.job, status, error, task.outputs, **changes)

    def end(self, reason: str) -> None:
        """End its command, or keep it from starting; returns when no process is left."""
        with self._lock:
            self._ended = reason
            self._cancelled.set()
            command = self._command
        if command:
            command.end(reason)

    def _keep(self, key: str) -> None:
        try:
            self._shop.reuse.keep(key, self.task, self._pipeline.name)
        except OSError:  # it has completed all the same
            logger.exception("The job %s cannot stand for others", self.task.job)

    def _create_run(self) -> None:
        task = self.task
        pipeline, node, runs = self._pipeline, task.node, self._shop.runs
        experiment, root = pipeline.experiment_name, pipeline.name
        runs.create(task.job, experiment, node.title, task.log_folder, task.parent, root, node.tags)

    def _reuse_key(self) -> str | None:
        """What equal tasks have in common; a stand-alone job is never reused."""
        if self._pipeline.force_rerun or self.task.parent is None:
            return None
        environment = self.task.component.environment
        return reuse_key(self.task, None if self._shop.environments.builds(environment) else installed(environment))

    def _take_over(self, finished: Finished) -> dict[str, str]:
        """Have what an earlier job has: outputs and logs as links, metrics and parameters as copies."""
        task = self.task
        link_outputs(task.folder, task.outputs, {name: Path(path) for name, path in finished.outputs.items()})
        _link(task.log_folder, (task.folder.parent / finished.job / task.log_folder.name).resolve())
        self._shop.runs.copy(finished.job, task.job)
        return {"reused": finished.job, "reused_root": finished.root}

    def _run_command(self) -> tuple[str, str | None]:
        task, shop = self.task, self._shop
        interpreter = self._interpreter()
        tracking = shop.tracking.variables(interpreter)
        variables = job_variables(task, self._pipeline, shop.home, interpreter, tracking, shop.slots.threads())
        command = Command(task, interpreter, variables, shop.groups, self.timeout)
        with self._lock:
            self._command = command
            if self._ended:
                command.end(self._ended)
        command.prepare()
        for name, value in task.given.items():
            if isinstance(value, Path) and not value.exists():
                return "Failed", f'node "{task.name}" failed: there is nothing at {value}, its input "{name}"'
        self._advance(
            task.job,
            "Running",
            warnings=tuple(filter(None, [interpreter.warning, fewer_machines(task), crowded(task), run_once(task)])),
        )
        found = read_only_inputs(task)
        status, error = command.run()
        changed = [name for name, before in found.items() if stamp(Path(task.given[name]).resolve()) != before]
        if status == "Completed" and changed:
            return "Failed", CHANGED.format(node=task.name, name=changed[0], path=task.given[changed[0]])
        return status, error

    def _interpreter(self) -> Interpreter:
        """What the task finds as `python`; what it installs itself stays its own."""
        task = self.task
        log = task.log_folder / "system_logs" / "environment.log"
        interpreter = self._shop.environments.prepare(task.component.environment, log, self._cancelled)
        if not may_install(task.command):
            return interpreter
        return private_layer(interpreter, task.folder / "packages")


def fewer_machines(task: Task) -> str:
    """What is not as on Azure, where a job asks for several machines."""
    count, processes = task.node.instance_count or task.component.instance_count or 1, task.process_count
    if count < 2:
        return ""
    return (
        f"it asks for {count} machines (instance_count) and runs on this one alone: {processes} "
        f"process{'es' if processes > 1 else ''} in place of {count * processes}"
    )


def crowded(task: Task) -> str:
    """What makes a job slow that asks for the processes of a larger machine."""
    count, here = task.process_count, cores()
    if count <= here:
        return ""
    return f"its {count} processes share {here} core{'s' if here > 1 else ''} of this machine; fewer are faster here"


def run_once(task: Task) -> str:
    """What is not as on Azure, where a job asks for a launcher that is not there."""
    return task.left_out and f"its distribution, {task.left_out}, is not made here: the command runs once, as it stands"


def read_only_inputs(task: Task) -> dict[str, str]:
    """The stamps of the inputs that a job must not change; not of those that it writes its outputs into."""
    places = {name: value.resolve() for name, value in task.given.items() if isinstance(value, Path)}
    written = [path.resolve() for path in task.outputs.values()]
    return {
        name: stamp(place)
        for name, place in places.items()
        if name not in task.writable
        and not any(path.is_relative_to(place) or place.is_relative_to(path) for path in written)
    }


def link_outputs(folder: Path, outputs: dict[str, Path], written: dict[str, Path]) -> None:
    """Let outputs of one job, whose own `folder` is, be what another has written; elsewhere it is copied."""
    for name, path in written.items():
        if path.exists():
            give = _link if outputs[name].is_relative_to(folder) else _add
            give(outputs[name], path.resolve())


def _add(place: Path, written: Path) -> None:
    """Copy what was written to a place that may hold other things."""
    if place.resolve() == written:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if written.is_dir():
        shutil.copytree(written, place, dirs_exist_ok=True)
    else:
        shutil.copy2(written, place)


def _link(link: Path, target: Path) -> None:
    """Let `link`, in a job's own folder, lead to `target`, in place of what may be there."""
    if link.resolve() == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
