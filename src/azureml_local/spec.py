"""The one model of a job, between what describes it (REST bodies, YAML files) and the engine that runs it.

Values are the text that goes into a command line; data are paths. `${{...}}` stays in the text until the engine binds
it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
RESOURCE_GROUP = "local"
WORKSPACE = "local"

DATA_TYPES = frozenset({"uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model"})
FILE_TYPES = frozenset({"uri_file"})


class SpecError(ValueError):
    """A job that cannot be run as written; its text names the node and the field."""


@dataclass(frozen=True, kw_only=True)
class Port:
    """A declared input or output of a component."""

    name: str
    type: str  # "string", "integer", "number", "boolean", or one of DATA_TYPES
    optional: bool = False
    default: str | None = None
    minimum: str | None = None  # of an integer or a number
    maximum: str | None = None
    choices: tuple[str, ...] = ()  # what a string may be; empty for any

    @property
    def is_data(self) -> bool:
        """Whether a path is bound to it, and not a literal."""
        return self.type in DATA_TYPES


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a job says of one of its outputs: whose it is, where it lies, and as what it is registered."""

    target: str = ""  # `${{parent.outputs.x}}` where it is an output of the pipeline around it
    type: str = ""  # one of DATA_TYPES, where the job gives one
    place: Path | None = None  # where it shall lie; None for a folder of the job's own
    asset_name: str = ""  # the data asset that it becomes when the job has completed
    asset_version: str = ""  # empty: the next one


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """How many processes start the command: `pytorch` sets RANK and its kind for each of them.

    Commands of other types are run once here.
    """

    type: str = "pytorch"
    process_count: str = "1"  # text: may be `${{parent.inputs.process_count}}`


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a job asks to run in."""

    name: str = ""  # name:version, or an address in a registry
    image: str = ""  # a container image
    conda: str = ""  # the text of its conda file, YAML or JSON; empty where it has none
    dockerfile: str = ""  # where its image is built from one: the file's name in the build context
    build_context: Path | None = None  # the folder of the Dockerfile, where it is on this machine

    @property
    def is_foreign(self) -> bool:
        """Whether it belongs to a registry, and nothing is known of it here."""
        return "/registries/" in self.name or self.name.startswith("azureml://registries/")


@dataclass(frozen=True, kw_only=True)
class Component:
    """One command with its interface and its code."""

    name: str
    version: str
    command: str
    code: Path | None  # the snapshot's folder
    environment: Environment = Environment()
    inputs: dict[str, Port] = field(default_factory=dict)
    outputs: dict[str, Port] = field(default_factory=dict)
    distribution: Distribution | None = None
    instance_count: int | None = None  # the machines that it asks for
    environment_variables: dict[str, str] = field(default_factory=dict)
    is_deterministic: bool = True
    display_name: str = ""
    digest: str = ""  # of all that was sent as its definition, its code's content included
    interface_known: bool = True  # False: it is registered elsewhere, and its inputs and outputs are not known here


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A pipeline component: nodes behind an interface of their own."""

    name: str
    version: str
    inputs: dict[str, Port] = field(default_factory=dict)
    outputs: dict[str, Port] = field(default_factory=dict)
    nodes: "dict[str, Node]" = field(default_factory=dict)
    display_name: str = ""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Many trials of one command; the best of them gives the node its outputs."""

    search_space: dict[str, tuple[str, tuple[str, ...]]]  # input -> kind of distribution, its numbers or choices
    sampling: str  # random, grid or bayesian
    seed: int | None
    primary_metric: str
    maximize: bool
    max_trials: int
    max_concurrent: int
    timeout: float | None = None  # seconds, for all trials together
    trial_timeout: float | None = None  # seconds
    ends_early: bool = False  # whether Azure would end trials that do badly


@dataclass(frozen=True, kw_only=True)
class Data:
    """Data that is there already: a file or folder on this machine."""

    path: Path
    address: str = ""  # as it was given, for sentences


Value = str | Data  # text (a literal, or with `${{...}}`), or data


@dataclass(frozen=True, kw_only=True)
class Node:
    """One use of a component in a pipeline; `job_name` is the child job's id and its MLflow run id."""

    name: str
    job_name: str
    component: Component | Graph
    inputs: dict[str, Value] = field(default_factory=dict)
    writable: frozenset[str] = frozenset()  # the inputs that it may change, as their mode says
    outputs: dict[str, Output] = field(default_factory=dict)
    distribution: Distribution | None = None  # overrides the component's
    environment_variables: dict[str, str] = field(default_factory=dict)
    instance_count: int | None = None  # the machines that it asks for, where it overrides the component's
    timeout: float | None = None  # seconds
    sweep: Sweep | None = None
    display_name: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    compute: str = ""  # its name; empty for that of the pipeline
    settings: dict[str, str] = field(default_factory=dict)  # its other texts with `${{...}}`, by dotted field
    instance_types: tuple[str, ...] = ()  # the machines (SKUs) that its compute may be, where they are known

    @property
    def title(self) -> str:
        """What people see in place of its name."""
        return self.display_name or self.name


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A graph of nodes. A stand-alone command job is a pipeline of one node that shares its name."""

    name: str
    experiment_name: str
    inputs: dict[str, Value | None] = field(default_factory=dict)  # None: declared, optional and not given
    writable: frozenset[str] = frozenset()  # the inputs that its nodes may change, as their mode says
    outputs: dict[str, Output] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    display_name: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    compute: str = ""  # its name; of the nodes that name none
    continue_on_step_failure: bool = True  # the default of Azure's reference
    force_rerun: bool = False


def all_nodes(nodes: dict[str, Node], around: str = "") -> Iterator[tuple[str, Node]]:
    """Every node with its full name, as in `train.fit`; a graph comes before the nodes in it."""
    for name, node in nodes.items():
        full_name = f"{around}{name}"
        yield full_name, node
        if isinstance(node.component, Graph):
            yield from all_nodes(node.component.nodes, f"{full_name}.")
