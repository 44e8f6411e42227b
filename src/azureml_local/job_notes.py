"""What a workspace notes of the jobs of a pipeline before they run: who they are, and what they were given."""

from __future__ import annotations

from typing import Any

from azureml_local.engine.plan import Group, Plan, Task
from azureml_local.environments.readiness import title
from azureml_local.spec import Output, Pipeline, Port
from azureml_local.trials import sweep_properties, trial_tags

Json = dict[str, Any]


def notes(pipeline: Pipeline, plan: Plan, properties: Json) -> dict[str, Json]:
    """The documents of all jobs by their ids; properties: the submitted job, as the SDK sent it."""
    common = {"status": "NotStarted", "experiment": pipeline.experiment_name, "root": pipeline.name, "hidden": False}
    own = {
        "type": properties["jobType"],
        "node": pipeline.name,
        "parent": None,
        "displayName": pipeline.display_name,
        "description": properties.get("description") or "",
        "tags": properties.get("tags") or {},
        "properties": properties.get("properties") or {},
        "registers": _registrations(pipeline.outputs, {}),
    }
    found = {pipeline.name: {**common, **own, "compute": pipeline.compute}}
    for job, step in plan.jobs().items():
        said = _task_note(step, plan) if isinstance(step, Task) else _group_note(step)
        said["compute"] = said["compute"] or pipeline.compute
        if job == pipeline.name:  # it stands alone: what the job says of itself goes before
            properties = {**said["properties"], **own["properties"]}
            said = {**said, **own, "registers": said["registers"], "properties": properties}
        found[job] = {**common, **said}
    return found


def _task_note(task: Task, plan: Plan) -> Json:
    note = _step_note(task, "Command")
    sweeps = [group.sweep for group in plan.groups.values() if group.sweep and group.job == task.parent]
    return {
        **note,
        "tags": trial_tags(sweeps[0], task.given) if sweeps else note["tags"],
        "needs": sorted(_job_of(step, plan) for step in task.needs),
        "given": {name: str(value) for name, value in task.given.items()},
        "command": task.command,
        "environment": title(task.component.environment),
        "registers": _registrations(task.node.outputs, task.component.outputs),
    }


def _group_note(group: Group) -> Json:
    note = _step_note(group, "Sweep" if group.sweep else "Pipeline")
    aim = sweep_properties(group.sweep) if group.sweep else {}
    return {
        **note,
        "properties": {**note["properties"], **aim},
        "registers": _registrations(group.node.outputs, group.node.component.outputs),
    }


def _step_note(step: Task | Group, kind: str) -> Json:
    node = step.node
    return {
        "type": kind,
        "node": step.name,
        "parent": step.parent,
        "displayName": node.title,
        "description": node.description,
        "tags": node.tags,
        "properties": {"azureml.moduleName": node.component.name, **node.properties},
        "compute": node.compute,
    }


def _job_of(step: str, plan: Plan) -> str:
    return plan.tasks[step].job if step in plan.tasks else plan.groups[step].job


def _registrations(outputs: dict[str, Output], ports: dict[str, Port]) -> dict[str, Json]:
    """Output -> the asset that it becomes, of the type that the job says or the component declares."""
    types = {name: port.type for name, port in ports.items()}
    return {
        name: {"name": output.asset_name, "version": output.asset_version, "type": output.type or types.get(name, "")}
        for name, output in outputs.items()
        if output.asset_name
    }
