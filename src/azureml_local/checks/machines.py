"""Rules about machines: do the processes match the GPUs, do the packages run on them, can there be as many?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from azureml_local.checks.field_shapes import is_number
from azureml_local.checks.kinds import COMPUTE, DEPLOYMENT
from azureml_local.checks.requirements import Requirement, python_version, requirements
from azureml_local.checks.scopes import Command, Scope
from azureml_local.checks.sections import Section
from azureml_local.checks.table import ERROR, WARNING, Finding, rule
from azureml_local.spec import Component, Node

V100 = frozenset({"nd40rs_v2", "nc6s_v3", "nc12s_v3", "nc24s_v3", "nc24rs_v3"})
GPUS = {
    **{"nd40rs_v2": 8, "nc6s_v3": 1, "nc12s_v3": 2, "nc24s_v3": 4, "nc24rs_v3": 4},
    **{"nc4as_t4_v3": 1, "nc8as_t4_v3": 1, "nc16as_t4_v3": 1, "nc64as_t4_v3": 4},
    **{"nc24ads_a100_v4": 1, "nc48ads_a100_v4": 2, "nc96ads_a100_v4": 4},
    **{"nd96asr_v4": 8, "nd96amsr_a100_v4": 8},
    **{"nc40ads_h100_v5": 1, "nc80adis_h100_v5": 2, "nd96isr_h100_v5": 8, "nd96isr_h200_v5": 8},
}
# The first default wheels, and the first CUDA version of the others, that were built without sm_70.
FIRST_TORCH_WITHOUT_V100 = (2, 8)
FIRST_CUDA_WITHOUT_V100 = 128
CUDA_INDEX = re.compile(r"/whl/cu(\d{2,3})\b")
CUDA_BUILD = re.compile(r"\+cu(\d{2,3})\b")

# azureml-mlflow 1.62 is the first that works with mlflow from 3.1.2, and no version of it allows one past 3.15.0.
FIRST_PLUGIN_FOR_MLFLOW_3 = (1, 62)
LAST_MLFLOW_FOR_OLD_PLUGINS = (3, 1, 1)
LAST_MLFLOW = (3, 15, 0)
FIRST_PYTHON_OF_MLFLOW_3 = (3, 9)


@rule(Scope, "process-count", WARNING, "A node starts one process for each GPU of its machine.")
def process_count(scope: Scope) -> Iterator[Finding]:
    """More processes share a GPU and its memory. Fewer leave GPUs idle: that is said of nodes that ask for several."""
    for node in scope.nodes.values():
        gpus = [GPUS.get(_short(machine), 0) for machine in node.instance_types]
        count = _process_count(scope, node)
        if not count or not all(gpus) or not gpus:
            continue
        if all(count > number or 1 < count < number for number in gpus):
            machines = dict(zip(node.instance_types, gpus, strict=True))
            has = " or ".join(f"{name} with {number}" for name, number in machines.items())
            where = scope.at(node, "distribution", "process_count_per_instance")
            yield Finding(where, f"{scope.called(node)} starts {count} processes, one a GPU, and its machine is {has}")


@rule(Scope, "torch-without-v100", WARNING, "On a V100, torch is a build for sm_70.")
def torch_without_v100(scope: Scope) -> Iterator[Finding]:
    """The wheels for CUDA 12.8 and later, which are the default ones since torch 2.8, have left the V100 out."""
    for node in scope.nodes.values():
        component = node.component
        machines = [_short(machine) for machine in node.instance_types]
        if not isinstance(component, Component) or not machines or not set(machines) <= V100:
            continue
        if torch := _torch_without_v100(component.environment.conda):
            message = f'"{torch.line}" has no kernels for the V100 (sm_70) of {node.instance_types[0]}'
            where = scope.at(node, *(() if scope.is_standalone else ("component",)), "environment", "conda_file")
            yield Finding(where, f"{message}; take a cu126 build from its index", torch.line)


@rule(Section, "no-size", ERROR, "The fewest machines of a cluster or deployment are no more than the most.")
def no_size(section: Section) -> Iterator[Finding]:
    """The SDK sends both; the service refuses them."""
    under = {COMPUTE: (), DEPLOYMENT: ("scale_settings",)}.get(section.kind)
    if under is None:
        return
    fields = section.mapping(under[0]) if under else section.fields
    least, most = fields.get("min_instances"), fields.get("max_instances")
    if is_number(least) and is_number(most) and float(str(least)) > float(str(most)):
        message = f"min_instances, {least}, is above max_instances, {most}: no number of machines is between them"
        yield Finding(section.at(*under, "min_instances"), message)


@rule(Command, "mlflow-pair", WARNING, "mlflow and azureml-mlflow are versions that work together.")
def mlflow_pair(command: Command) -> Iterator[Finding]:
    """Otherwise every artifact that a job logs ends in an error of the tracking server."""
    conda = command.component.environment.conda
    found = {requirement.name: requirement for requirement in requirements(conda)}
    mlflow, plugin = found.get("mlflow") or found.get("mlflow-skinny"), found.get("azureml-mlflow")
    python = python_version(conda)
    if not mlflow or not plugin or (python and python < FIRST_PYTHON_OF_MLFLOW_3):
        return
    where = (*command.where, "environment", "conda_file")
    way_out = "azureml-mlflow==1.62.0.post6 with mlflow<=3.15.0 is a pair that works"
    old_plugin = plugin.pin is None or plugin.pin < FIRST_PLUGIN_FOR_MLFLOW_3
    if mlflow.least and mlflow.least > LAST_MLFLOW:
        yield Finding(where, f'no azureml-mlflow works with "{mlflow.line}"; {way_out}', mlflow.line)
    elif mlflow.least and mlflow.least > LAST_MLFLOW_FOR_OLD_PLUGINS and plugin.pin and old_plugin:
        yield Finding(where, f'"{plugin.line}" does not work with "{mlflow.line}"; {way_out}', plugin.line)
    elif not mlflow.is_bounded and old_plugin:
        message = f'"{mlflow.line}" takes the newest mlflow, which "{plugin.line}" does not work with'
        yield Finding(where, f"{message}; {way_out}", mlflow.line)


def _torch_without_v100(conda: str) -> Requirement | None:
    torch = next((found for found in requirements(conda) if found.name == "torch"), None)
    if torch is None:
        return None
    if build := CUDA_BUILD.search(torch.line) or CUDA_INDEX.search(conda):
        return torch if int(build[1]) >= FIRST_CUDA_WITHOUT_V100 else None
    is_default_wheel = "+" not in torch.line and "/whl/" not in conda
    reaches = not torch.is_bounded or (torch.least is not None and torch.least >= FIRST_TORCH_WITHOUT_V100)
    return torch if is_default_wheel and reaches else None


def _process_count(scope: Scope, node: Node) -> int | None:
    """The number, where it is known before the job runs."""
    own = node.component.distribution if isinstance(node.component, Component) else None
    distribution = node.distribution or own
    text = scope.source(distribution.process_count).text if distribution else None
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 6 else None


def _short(machine: str) -> str:
    return machine.lower().removeprefix("standard_")
