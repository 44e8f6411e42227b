"""Pipelines of tiny shell commands, and a listener that remembers."""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from azureml_local.engine.engine import JobChange
from azureml_local.spec import Component, Node, Pipeline, Port

FINAL = {"Completed", "Failed", "Canceled"}
FOLDER = Port(name="out", type="uri_folder")


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self._changes: list[JobChange] = []
        self._told = threading.Condition()

    def job_changed(self, change: JobChange) -> None:
        with self._told:
            self._changes.append(change)
            self._told.notify_all()

    def statuses(self, job: str) -> list[str]:
        return [change.status for change in self._changes if change.name == job]

    def last(self, job: str) -> JobChange:
        return [change for change in self._changes if change.name == job][-1]

    def wait(self, job: str, statuses: set[str] = FINAL, seconds: float = 60.0) -> JobChange:
        """The job's change to one of the statuses."""
        with self._told:
            assert self._told.wait_for(lambda: statuses & set(self.statuses(job)), seconds), f"{job}: no {statuses}"
        return next(change for change in self._changes if change.name == job and change.status in statuses)


def component(command: str, *inputs: Port, outputs: tuple[Port, ...] = (), code: Path | None = None) -> Component:
    return Component(
        name="tried",
        version="1",
        command=command,
        code=code,
        inputs={one.name: one for one in inputs},
        outputs={one.name: one for one in outputs},
    )


def pipeline(name: str, commands: Mapping[str, str | Component], reads: dict[str, str] | None = None) -> Pipeline:
    """Nodes by name; `reads` says whose outputs `out` a node reads, as its inputs `data`, `data1`, ..."""
    nodes = {}
    for node, command in commands.items():
        made = command if isinstance(command, Component) else component(command, outputs=(FOLDER,))
        others = reads.get(node, "").split() if reads else []
        inputs = {f"data{i or ''}": f"${{{{parent.jobs.{other}.outputs.out}}}}" for i, other in enumerate(others)}
        made = replace(made, inputs={name: Port(name=name, type="uri_folder") for name in inputs} | made.inputs)
        nodes[node] = Node(name=node, job_name=f"{name}-{node}", component=made, inputs=dict(inputs))
    return Pipeline(name=name, experiment_name="trials", nodes=nodes)


def log_of(change: JobChange, name: str = "std_log.txt") -> str:
    assert change.log_folder
    return (change.log_folder / "user_logs" / name).read_text()


def alive(marker: str) -> list[str]:
    """Processes whose command line contains the marker."""
    lines = subprocess.run(["ps", "-eo", "pid,stat,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in lines.splitlines() if marker in line and " Z" not in line]


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
