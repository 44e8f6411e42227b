"""Rules about what a pipeline has for all its nodes: where they run, and where their outputs go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from azureml_local.checks.kinds import ENDPOINT, PIPELINE_JOB, type_of
from azureml_local.checks.scopes import nearest
from azureml_local.checks.sections import REGISTERED, Section, is_to_be_filled_in
from azureml_local.checks.table import ERROR, Finding, rule
from azureml_local.expressions import OPENS, shown

RUNS_ON_A_COMPUTE = frozenset({"command", "sweep", "parallel", "automl"})


@rule(Section, "missing-node", ERROR, "on_init and on_finalize name nodes of the pipeline.")
def missing_node(section: Section) -> Iterator[Finding]:
    """The SDK looks for them when the job is submitted."""
    for field in ("on_init", "on_finalize") if section.kind == PIPELINE_JOB else ():
        name = section.mapping("settings").get(field)
        if isinstance(name, str) and name not in section.mapping("jobs"):
            message = (
                f'{field} is "{shown(name)}", and the pipeline has no such node{nearest(name, section.mapping("jobs"))}'
            )
            yield Finding(section.at("settings", field), message)


@rule(Section, "no-compute", ERROR, "Every node runs on a compute: its own, or the pipeline's.")
def no_compute(section: Section) -> Iterator[Finding]:
    """The SDK refuses it when it is submitted."""
    if (
        section.kind != PIPELINE_JOB
        or section.fields.get("compute")
        or section.mapping("settings").get("default_compute")
    ):
        return
    for name, node in section.mapping("jobs").items():
        runs = isinstance(node, Mapping) and (type_of(node) or "command").lower() in RUNS_ON_A_COMPUTE
        if runs and not node.get("compute"):
            message = f'node "{name}" has no compute: give it one, or all of them with settings, default_compute'
            yield Finding(section.at("jobs", name), message)


@rule(
    Section,
    "default-without-prefix",
    ERROR,
    "A pipeline's default compute and datastore, and an endpoint's compute, are named with azureml:.",
)
def default_without_prefix(section: Section) -> Iterator[Finding]:
    """The SDK takes a node's compute by its bare name, and these not."""
    cluster = section.fields.get("compute") if section.kind == ENDPOINT else None
    if isinstance(cluster, str) and not REGISTERED.match(cluster) and not is_to_be_filled_in(cluster):
        yield Finding(section.at("compute"), f'the compute is "{shown(cluster)}": write azureml:{cluster}')
    for name in ("default_compute", "default_datastore") if section.kind == PIPELINE_JOB else ():
        value = section.mapping("settings").get(name)
        if (
            not isinstance(value, str)
            or is_to_be_filled_in(value)
            or (name, value) == ("default_compute", "serverless")
        ):
            continue
        if not REGISTERED.match(value):
            message = f'{name} is "{shown(value)}": write azureml:{value if OPENS not in value else "NAME"}'
            yield Finding(section.at("settings", name), message)
