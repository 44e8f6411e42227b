"""The one model of a job, between the REST bodies that describe it and the engine that runs it.

Values are the text that goes into a command line; data are paths. `${{...}}` stays in the text until the engine binds
it.
"""

from dataclasses import dataclass, field
from pathlib import Path

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
RESOURCE_GROUP = "local"
WORKSPACE = "local"

DATA_TYPES = frozenset({"uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model"})


class SpecError(ValueError):
    """A job that cannot be run as written; its text names the node and the field."""


@dataclass(frozen=True, kw_only=True)
class Port:
    """A declared input or output of a component."""

    name: str
    type: str  # "string", "integer", "number", "boolean", or one of DATA_TYPES
    optional: bool = False
    default: str | None = None

    @property
    def is_data(self) -> bool:
        """Whether a path is bound to it, and not a literal."""
        return self.type in DATA_TYPES


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """How many processes start the command: `pytorch` sets RANK and its kind for each of them."""

    type: str = "pytorch"
    process_count: str = "1"  # text: may be `${{parent.inputs.process_count}}`


@dataclass(frozen=True, kw_only=True)
class Component:
    """One command with its interface and its code."""

    name: str
    version: str
    command: str
    code: Path | None  # the snapshot's folder
    environment: str  # the environment's id or name, for the log
    inputs: dict[str, Port] = field(default_factory=dict)
    outputs: dict[str, Port] = field(default_factory=dict)
    distribution: Distribution | None = None
    environment_variables: dict[str, str] = field(default_factory=dict)
    is_deterministic: bool = True
    display_name: str = ""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Data that is there already: a file or folder on this machine."""

    path: Path


Value = str | Data  # text (a literal, or with `${{...}}`), or data


@dataclass(frozen=True, kw_only=True)
class Node:
    """One use of a component in a pipeline; `job_name` is the child job's id and its MLflow run id."""

    name: str
    job_name: str
    component: Component
    inputs: dict[str, Value] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)  # output name -> "${{parent.outputs.x}}" where bound
    distribution: Distribution | None = None  # overrides the component's
    environment_variables: dict[str, str] = field(default_factory=dict)
    display_name: str = ""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A graph of nodes. A stand-alone command job is a pipeline of one node that shares its name."""

    name: str
    experiment_name: str
    inputs: dict[str, Value | None] = field(default_factory=dict)  # None: declared, optional and not given
    outputs: dict[str, Port] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    display_name: str = ""
    continue_on_step_failure: bool = False
