"""What a pipeline comes down to: tasks that can be run, with every name looked up and every value in its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from azureml_local.expressions import references
from azureml_local.spec import Component, Node, SpecError, Sweep

ARTIFACTS = "artifacts"  # an output of this name that no command writes is what the job leaves in its folders


@dataclass(frozen=True, kw_only=True)
class Task:
    """A command with nothing left to look up."""

    name: str  # the node's full name: `train.fit` is the node `fit` of the graph that the node `train` stands for
    node: Node
    component: Component
    job: str
    parent: str | None  # the job around it; None for a stand-alone job
    folder: Path  # the job's own
    needs: frozenset[str]  # the steps whose outputs it reads
    command: str
    given: dict[str, str | Path]  # its inputs: a literal's text, or where the data are
    outputs: dict[str, Path]
    writable: frozenset[str] = frozenset()  # the inputs that it may change
    links: dict[Path, Path] = field(default_factory=dict)  # what its command reads and writes through, and where it is
    distribution: str | None = None  # its type, None for a plain command
    left_out: str = ""  # the type of a distribution that is not made here: the command is run once
    process_count: int = 1
    timeout: float | None = None  # seconds

    @property
    def log_folder(self) -> Path:
        """What the job leaves beside its outputs, under the paths that Azure gives it; MLflow's artifacts included."""
        return self.folder / "logs"

    def log(self, rank: int) -> Path:
        """What the process of this rank writes."""
        name = f"std_log_process_{rank}.txt" if self.distribution else "std_log.txt"
        return self.log_folder / "user_logs" / name


@dataclass(frozen=True, kw_only=True)
class Group:
    """A node that stands for others: a graph, or a sweep with its trials."""

    name: str
    node: Node
    job: str
    parent: str | None
    folder: Path
    tasks: tuple[str, ...]  # the tasks in it, those of groups in it included
    outputs: dict[str, Path]
    sweep: Sweep | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run, and where the pipeline's outputs will be."""

    tasks: dict[str, Task]
    groups: dict[str, Group] = field(default_factory=dict)
    outputs: dict[str, Path]

    def order(self) -> TopologicalSorter[str]:
        """The steps' names, each after those that it needs; prepared.

        A step is a task, or a sweep: its best trial is chosen once all are done. Raises SpecError for a circle.
        """
        needs = {name: task.needs for name, task in self.tasks.items()}
        needs |= {name: frozenset(group.tasks) for name, group in self.groups.items() if group.sweep}
        sorter = TopologicalSorter(needs)
        try:
            sorter.prepare()
        except CycleError as error:
            circle = " -> ".join(f'"{name}"' for name in error.args[1])
            raise SpecError(f"the nodes {circle} wait for each other: each reads an output of the one before") from None
        return sorter

    def jobs(self) -> dict[str, Task | Group]:
        """Everything that is a job of its own, by the job's id."""
        steps: list[Task | Group] = [*self.groups.values(), *self.tasks.values()]
        return {step.job: step for step in steps}


def is_default_artifacts(task: Task, output: str) -> bool:
    """Whether an output is the job's own folders, which Azure gives to an output of that name."""
    reads = {reference.path for reference in references(task.component.command)}
    return output == ARTIFACTS and f"outputs.{output}" not in reads
