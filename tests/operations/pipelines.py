"""Pipelines: from YAML, from `@dsl.pipeline`, and of registered components."""

import contextlib
import io
from pathlib import Path

from azure.ai.ml import Input, dsl, load_component, load_job
from azure.ai.ml.exceptions import ValidationException
from azure.core.exceptions import HttpResponseError

from operations.components import name
from operations.jobs import run, texts, wait
from operations.table import Session, operation, raises

YAML = """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json
type: pipeline
display_name: saying
experiment_name: operations
tags: {{team: tests}}
inputs:
  word: hello
  note: {{type: uri_file, path: note.txt}}
outputs:
  said: {{type: uri_folder}}
settings: {{default_compute: "azureml:any-cluster"}}
jobs:
  say:
    type: command
    component: azureml:{say}:1
    inputs: {{word: "${{{{parent.inputs.word}}}}", times: 2}}
  note:
    type: command
    command: sleep 2 && cat ${{{{inputs.note}}}} && cp ${{{{inputs.note}}}} ${{{{outputs.noted}}}}/
    environment: {{image: "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"}}
    inputs: {{note: "${{{{parent.inputs.note}}}}"}}
    outputs: {{noted: {{type: uri_folder}}}}
  copy:
    type: command
    component: azureml:{copy}@latest
    inputs: {{source: "${{{{parent.jobs.say.outputs.said}}}}"}}
    outputs: {{copied: "${{{{parent.outputs.said}}}}"}}
"""


@operation("jobs.create_or_update of a pipeline, from YAML")
def create_from_yaml(session: Session) -> None:
    session.write("pipeline/note.txt", f"a note of {session.suffix}\n")
    text = YAML.format(say=name(session, "say"), copy=name(session, "copy"))
    file = session.write("pipeline/pipeline.yml", text)
    job = session.client.jobs.create_or_update(load_job(file, params_override=[{"inputs.word": "hi"}]))
    session.made["pipeline"] = job.name
    assert (job.type, job.display_name, set(job.jobs)) == ("pipeline", "saying", {"say", "note", "copy"})


@operation("jobs.stream of a pipeline")
def stream(session: Session) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        session.client.jobs.stream(session.made["pipeline"])
    assert f"a note of {session.suffix}" in printed.getvalue()


@operation("jobs.get of a pipeline")
def get(session: Session) -> None:
    job = session.client.jobs.get(session.made["pipeline"])
    assert (job.status, job.tags["team"], set(job.jobs)) == ("Completed", "tests", {"say", "note", "copy"})
    assert set(job.inputs) == {"word", "note"}


@operation("jobs.list of the children of a pipeline")
def list_children(session: Session) -> None:
    children = session.client.jobs.list(parent_job_name=session.made["pipeline"])
    session.made["children"] = {child.display_name: child.name for child in children}
    assert len(session.made["children"]) == 3


@operation("jobs.get of a child")
def get_child(session: Session) -> None:
    for child in session.made["children"].values():
        assert session.client.jobs.get(child).status == "Completed"


@operation("jobs.download of a pipeline's output")
def download_output(session: Session) -> None:
    session.client.jobs.download(session.made["pipeline"], download_path="said", output_name="said")
    assert texts(Path("said")) == {"said.txt": "hi\nhi\n"}


@operation("jobs.download(all=True) of a pipeline")
def download_all(session: Session) -> None:
    session.client.jobs.download(session.made["pipeline"], download_path="pipeline-all", all=True)
    assert texts(Path("pipeline-all/named-outputs/said")) == {"said.txt": "hi\nhi\n"}


@operation("jobs.download(all=True) of a child")
def download_child(session: Session) -> None:
    child = session.made["children"]["note"]
    session.client.jobs.download(child, download_path="child", all=True)
    assert texts(Path("child/named-outputs/noted")) == {"note.txt": f"a note of {session.suffix}\n"}
    assert "a note" in texts(Path("child/artifacts"))["std_log.txt"]


@operation("jobs.create_or_update again changes what is said of a pipeline")
def update(session: Session) -> None:
    job = session.client.jobs.get(session.made["pipeline"])
    job.display_name, job.tags = "renamed", {**job.tags, "colour": "red"}
    session.client.jobs.create_or_update(job)
    again = session.client.jobs.get(session.made["pipeline"])
    assert (again.display_name, again.tags) == ("renamed", {"team": "tests", "colour": "red"})


@operation("jobs.archive and restore of a pipeline")
def archive(session: Session) -> None:
    session.client.jobs.archive(session.made["pipeline"])
    assert session.made["pipeline"] not in [job.name for job in session.client.jobs.list()]
    session.client.jobs.restore(session.made["pipeline"])
    assert session.made["pipeline"] in [job.name for job in session.client.jobs.list()]


@operation("jobs.validate")
def validate(session: Session) -> None:
    job = load_job(session.folder / "pipeline/pipeline.yml")
    assert session.client.jobs.validate(job).passed
    job.settings.default_compute = None
    assert not session.client.jobs.validate(job).passed


@operation("jobs.create_or_update of @dsl.pipeline")
def create_from_dsl(session: Session) -> None:
    say = session.client.components.get(name(session, "say"), version="1")
    copy = load_component(session.folder / "components/copy.yml")

    @dsl.pipeline(default_compute="any-cluster", experiment_name="operations")
    def saying(word: str):
        first = say(word=word, times=3)
        marked = say(word=word, mark="!")
        second = copy(source=first.outputs.said)
        third = copy(source=marked.outputs.said)
        return {"result": second.outputs.copied, "marked": third.outputs.copied}

    job = run(session, saying(word="hey"))
    assert job.status == "Completed"
    session.client.jobs.download(job.name, download_path="dsl", output_name="result")
    assert texts(Path("dsl")) == {"said.txt": "hey\nhey\nhey\n"}
    session.client.jobs.download(job.name, download_path="marked", output_name="marked")
    assert texts(Path("marked")) == {"said.txt": "hey!\n"}


@operation("jobs.create_or_update of @dsl.pipeline with a pipeline in it")
def create_nested(session: Session) -> None:
    twice = session.client.components.get(name(session, "twice"), version="1")

    @dsl.pipeline(default_compute="any-cluster", experiment_name="operations")
    def nesting(word: str):
        inner = twice(word=word)
        return {"result": inner.outputs.said}

    job = run(session, nesting(word="inside"))
    assert job.status == "Completed"
    session.client.jobs.download(job.name, download_path="nested", output_name="result")
    assert texts(Path("nested")) == {"said.txt": "inside\n"}


@operation("jobs.create_or_update of a pipeline with a mistake is refused")
def create_with_mistake(session: Session) -> None:
    say = session.client.components.get(name(session, "say"), version="1")

    @dsl.pipeline(default_compute="any-cluster")
    def mistaken(source: Input):
        say(word="x", times="many")

    job = mistaken(source=Input(type="uri_folder", path="azureml://datastores/workspaceblobstore/paths/nowhere/"))
    error = raises((HttpResponseError, ValidationException), lambda: session.client.jobs.create_or_update(job))
    assert "nowhere" in str(error) or "times" in str(error)


@operation("jobs.begin_cancel of a pipeline")
def cancel(session: Session) -> None:
    text = YAML.format(say=name(session, "say"), copy=name(session, "copy")).replace("sleep 2", "sleep 99")
    file = session.write("pipeline/slow.yml", text)
    job = session.client.jobs.create_or_update(load_job(file))
    session.client.jobs.begin_cancel(job.name).wait()
    status = wait(session, job.name).status
    assert status == "Canceled", status
