"""One command job: its folders, its environment variables and its processes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from azureml_local.disk import full
from azureml_local.engine.plan import Task, is_default_artifacts
from azureml_local.environments.job_environments import Interpreter
from azureml_local.processes import Groups, ProcessGroup, end, inherited_variables, last_lines
from azureml_local.spec import FILE_TYPES, RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, Pipeline, SpecError

# Measured to help training on CPUs: large tensors are kept by the allocator and not mapped anew each time, and threads
# that wait for one another sleep: spinning, they take the cores from the nodes beside them (ten times slower).
SPEED = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_THRESHOLD_": "8000000000",
    "MALLOC_TRIM_THRESHOLD_": "16000000000",
    "MALLOC_TOP_PAD_": "268435456",
}


LEFT = ("outputs", "logs")  # the folders in which a job leaves what it will
LAST_WORDS = 2.0  # seconds in which the processes of a job that fails may say why


class Command:
    """A task that runs, is run once, and can be ended from another thread."""

    def __init__(
        self,
        task: Task,
        interpreter: Interpreter,
        variables: dict[str, str],
        groups: Groups,
        timeout: float | None = None,
    ) -> None:
        """`variables` are those that all its processes share, as `job_variables` makes them; `timeout` in seconds."""
        self._task = task
        self._interpreter = interpreter
        self._variables = variables
        self._groups = groups
        self._timeout = timeout
        self._late = False
        self._lock = threading.Lock()
        self._ended = ""
        self._processes: list[ProcessGroup] = []

    def prepare(self) -> None:
        """Make the job's folders: a copy of the code of its own, the outputs and the logs.

        Raises SpecError for code that has a file where a job has one of its folders.
        """
        task, work = self._task, self._task.folder / "work"
        if task.component.code:
            shutil.copytree(task.component.code, work, dirs_exist_ok=True)
        for name in LEFT:
            if (work / name).is_file():
                raise SpecError(
                    f'its code has a file "{name}", and every job has a folder of that name; rename the file'
                )
        for folder in (work / "outputs", work / "logs", task.folder / "outputs", task.log_folder / "user_logs"):
            folder.mkdir(parents=True, exist_ok=True)
        for name in LEFT:  # what a job leaves there is found beside its logs, as on Azure
            if not _lies_in(task.log_folder / name):
                _link(task.log_folder / name, work / name)
        for name, path in task.outputs.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if is_default_artifacts(task, name):
                _link(path, task.log_folder)
            elif task.component.outputs[name].type not in FILE_TYPES:
                if path.is_file():
                    raise SpecError(
                        f'its output "{name}" is a folder, and there is a file at {path}; give another path'
                    )
                path.mkdir(exist_ok=True)
        for link, target in task.links.items():
            link.parent.mkdir(exist_ok=True)
            _link(link, target)
        self._describe()

    def run(self) -> tuple[str, str | None]:
        """Run all processes to their end, the first that fails ending the others.

        Returns Completed, Failed or Canceled, and for the last two a sentence that says why.
        """
        clock = threading.Timer(self._timeout, self._time_out) if self._timeout else None
        try:
            self._start()
            if clock:
                clock.start()
            failure = self._first_failure()
        finally:
            if clock:
                clock.cancel()
            end(self._processes)
            for name in LEFT:
                with suppress(OSError):  # where its files lie never decides how a job has ended
                    _settle(self._task.folder / "work" / name, self._task.log_folder / name)
        with self._lock:
            self._processes = []  # from here on `end` has nothing to end
            if self._late:
                return "Failed", self._lateness()
            if self._ended:
                return "Canceled", f'node "{self._task.name}" was ended: {self._ended}'
        return ("Failed", failure) if failure else ("Completed", None)

    def end(self, reason: str) -> None:
        """End the processes, or keep them from starting; returns when none is left."""
        with self._lock:
            self._ended = reason
            processes = self._processes
        end(processes)

    def _time_out(self) -> None:
        with self._lock:
            self._late = not self._ended
            processes = self._processes
        end(processes)

    def _first_failure(self) -> str | None:
        statuses: SimpleQueue[tuple[int, int]] = SimpleQueue()

        def wait(rank: int, process: ProcessGroup) -> None:
            statuses.put((rank, process.wait()))

        for rank, process in enumerate(self._processes):
            threading.Thread(target=wait, args=(rank, process), daemon=True).start()
        for running in reversed(range(len(self._processes))):
            rank, status = statuses.get()
            if status != 0:
                return self._failure(*self._most_telling(rank, status, statuses, running))
        return None

    def _most_telling(
        self, rank: int, status: int, statuses: SimpleQueue[tuple[int, int]], running: int
    ) -> tuple[int, int]:
        """The first that failed or, where it wrote nothing, one that fails with it and did: one may speak for all."""
        deadline = time.monotonic() + LAST_WORDS
        telling = rank, status
        while running and not (telling[1] != 0 and last_lines(self._task.log(telling[0]))):
            try:
                telling = statuses.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return rank, status
            running -= 1
        return telling if telling[1] != 0 and last_lines(self._task.log(telling[0])) else (rank, status)

    def _start(self) -> None:
        variables = _rendezvous(self._variables) if self._task.distribution else self._variables
        with self._lock:
            for rank in range(0 if self._ended else self._task.process_count):
                self._processes.append(
                    ProcessGroup(
                        ["/bin/bash", "-c", self._task.command],
                        groups=self._groups,
                        folder=self._task.folder / "work",
                        variables=variables | self._rank_variables(rank),
                        log=self._task.log(rank),
                    )
                )

    def _rank_variables(self, rank: int) -> dict[str, str]:
        process = {"AZUREML_PROCESS_NAME": f"rank_{rank}"}
        if not self._task.distribution:
            return process
        count = str(self._task.process_count)
        return process | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}

    def _failure(self, rank: int, status: int) -> str:
        process = f"process {rank}" if self._task.process_count > 1 else "its command"
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        log = self._task.log(rank)
        lines = last_lines(log)
        no_room = full(self._task.folder)
        why = f", perhaps because {no_room}" if no_room else ""
        wrote = f"{why}; its log ends with:\n{lines}" if lines else f" and wrote nothing to {log}{why}"
        return f'node "{self._task.name}" failed: {process} {how}{wrote}'

    def _lateness(self) -> str:
        lines = last_lines(self._task.log(0))
        wrote = f"; its log ends with:\n{lines}" if lines else ""
        limit = f"{self._timeout:g} s (limits.timeout)"
        return f'node "{self._task.name}" failed: it took longer than its limit of {limit} and was ended{wrote}'

    def _describe(self) -> None:
        component = self._task.component
        lines = [
            f"component:    {component.name}:{component.version}",
            f"environment:  {component.environment.name} (run by {self._interpreter.python})",
            f"processes:    {self._task.process_count}",
            f"command:      {self._task.command}",
        ]
        log = self._task.log_folder / "system_logs" / "job.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("\n".join(lines) + "\n")


def job_variables(
    task: Task, pipeline: Pipeline, home: Path, interpreter: Interpreter, tracking: dict[str, str], threads: int
) -> dict[str, str]:
    """The environment variables of a job: Azure's names, MLflow's run, and what makes it fast on this machine.

    tracking: where MLflow logs to. threads: how many each process should compute with, unless the job says.
    """
    identity = {
        "AZUREML_RUN_ID": task.job,
        "AZUREML_ROOT_RUN_ID": pipeline.name,
        "AZUREML_EXPERIMENT_NAME": pipeline.experiment_name,
        "AZUREML_ARM_SUBSCRIPTION": SUBSCRIPTION,
        "AZUREML_ARM_RESOURCEGROUP": RESOURCE_GROUP,
        "AZUREML_ARM_WORKSPACE_NAME": WORKSPACE,
        "AZUREML_ARM_PROJECT_NAME": pipeline.experiment_name,
    }
    machine = {
        "AZUREML_NODE_COUNT": "1",
        "AZUREML_CR_NODE_RANK": "0",
        "AZUREML_CR_AZUREML_CONTEXT": json.dumps(identity),
        "NODE_RANK": "0",
    }
    run = {
        **tracking,
        "MLFLOW_RUN_ID": task.job,
        "MLFLOW_EXPERIMENT_NAME": pipeline.experiment_name,
    }
    ports = {f"AZURE_ML_INPUT_{name}": str(value) for name, value in task.given.items()}
    ports |= {f"AZURE_ML_OUTPUT_{name}": str(path) for name, path in task.outputs.items()}
    asked = task.component.environment_variables | task.node.environment_variables
    speed = SPEED | {"OMP_NUM_THREADS": str(threads)}
    inherited = interpreter.applied_to(inherited_variables(home))
    return speed | inherited | asked | identity | machine | ports | run


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _lies_in(place: Path) -> bool:
    """Whether a folder itself is in a place, and no link to it."""
    return place.is_dir() and not place.is_symlink()


def _settle(folder: Path, place: Path) -> None:
    """Move what a job has left to its place, with a link where it was: MLflow opens no link out of a run.

    While the job runs, the place is the link: a job may remove its folder and make it anew. It stays one where the
    system moves nothing, and where links would lead elsewhere from there.
    """
    if not _lies_in(folder) or not place.is_symlink() or _leads_out(folder):
        return
    place.unlink()
    try:
        folder.rename(place)
    except OSError:
        place.symlink_to(folder)
    else:
        folder.symlink_to(place)


def _leads_out(folder: Path) -> bool:
    """Whether a relative link in a folder leads out of it."""
    links = [path for path in folder.rglob("*") if path.is_symlink() and not path.readlink().is_absolute()]
    return any(not Path(os.path.normpath(link.parent / link.readlink())).is_relative_to(folder) for link in links)


def _rendezvous(variables: dict[str, str]) -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return variables | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
