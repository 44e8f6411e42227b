"""Which nodes of an equal pipeline are reused, and which run again after one change."""

from azure.ai.ml import load_job

from operations.jobs import wait
from operations.table import Session, operation

PIPELINE = """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json
type: pipeline
experiment_name: operations
settings: {default_compute: "azureml:any-cluster"}
inputs:
  note: {type: uri_file, path: note.txt}
jobs:
  first:
    type: command
    component: first.yml
    inputs: {note: "${{parent.inputs.note}}"}
  second:
    type: command
    component: second.yml
    inputs: {read: "${{parent.jobs.first.outputs.written}}"}
  beside:
    type: command
    component: beside.yml
"""
COMPONENT = """
$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
name: NAME
version: "1"
type: command
code: NAME_src
environment: {image: "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"}
"""
PARTS = {
    "first": """
inputs: {note: {type: uri_file}}
outputs: {written: {type: uri_folder}}
command: sh code.sh && cp ${{inputs.note}} ${{outputs.written}}/
""",
    "second": """
inputs: {read: {type: uri_folder}}
command: sh code.sh && ls ${{inputs.read}}
""",
    "beside": "command: sh code.sh",
}


def reused(session: Session, *settings: str) -> set[str]:
    """Submit the pipeline; the nodes that are reused."""
    overrides = [dict([setting.split("=")]) for setting in settings]
    job = session.client.jobs.create_or_update(load_job(session.folder / "reuse/job.yml", params_override=overrides))
    assert wait(session, job.name).status == "Completed"
    children = [session.client.jobs.get(child.name) for child in session.client.jobs.list(parent_job_name=job.name)]
    assert len(children) == len(PARTS)
    return {str(child.display_name) for child in children if child.properties.get("azureml.isreused") == "true"}


@operation("jobs.create_or_update of an equal pipeline is reused")
def equal(session: Session) -> None:
    session.write("reuse/job.yml", PIPELINE)
    session.write("reuse/note.txt", f"a note of {session.suffix}\n")
    for name, part in PARTS.items():
        session.write(f"reuse/{name}.yml", COMPONENT.replace("NAME", name) + part)
        session.write(f"reuse/{name}_src/code.sh", f"echo {name} of {session.suffix}\n")
    assert reused(session) == set()
    assert reused(session) == {"first", "second", "beside"}


@operation("jobs.create_or_update with settings.force_rerun is not reused")
def forced(session: Session) -> None:
    assert reused(session, "settings.force_rerun=True") == set()


@operation("jobs.create_or_update with one input changed")
def other_input(session: Session) -> None:
    session.write("reuse/note.txt", f"another note of {session.suffix}\n")
    assert reused(session) == {"beside"}


@operation("jobs.create_or_update with one line of a component changed")
def other_component(session: Session) -> None:
    file = session.folder / "reuse/second.yml"
    file.write_text(file.read_text().replace("&& ls", "&& ls -l"))
    assert reused(session) == {"first", "beside"}


@operation("jobs.create_or_update with one line of code changed")
def other_code(session: Session) -> None:
    session.write("reuse/beside_src/code.sh", f"echo besides of {session.suffix}\n")
    assert reused(session) == {"first", "second"}
    session.write("reuse/first_src/code.sh", f"echo firsts of {session.suffix}\n")
    assert reused(session) == {"beside"}
