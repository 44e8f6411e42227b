"""Stand-alone command jobs: submitted, followed, changed, cancelled, archived, and what they leave."""

import contextlib
import io
import time
from pathlib import Path

from azure.ai.ml import Input, Output, command, load_job
from azure.ai.ml.constants import ListViewType
from azure.ai.ml.entities import Environment, Job
from azure.ai.ml.exceptions import JobException
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from operations.environments import IMAGE
from operations.table import Session, operation, raises

YAML = """
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
type: command
display_name: from a file
experiment_name: operations
code: code
command: >-
  cat sentence.txt "${{inputs.notes}}/note.txt" > ${{outputs.text}}/text.txt
  && sleep 2 && echo ${{inputs.word}} $GREETING && echo kept > outputs/kept.txt
inputs:
  word: hello
  notes: {type: uri_folder, path: notes}
outputs:
  text: {type: uri_folder}
environment_variables: {GREETING: greetings}
environment: {image: "IMAGE"}
compute: azureml:any-cluster
tags: {team: tests}
"""


def builder(session: Session, line: str, **fields: object) -> Job:
    """A command job, as a notebook writes it."""
    environment = Environment(image=IMAGE)
    return command(command=line, environment=environment, compute="any-cluster", experiment_name="operations", **fields)


def run(session: Session, job: Job) -> Job:
    """Submit the job and wait until it has ended."""
    return wait(session, session.client.jobs.create_or_update(job).name)


def wait(session: Session, name: str) -> Job:
    """The job when it has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = session.client.jobs.get(name)
        if job.status in ("Completed", "Failed", "Canceled"):
            return job
        time.sleep(0.1)
    raise TimeoutError(f"{name} is {job.status}")


def texts(folder: Path) -> dict:
    """The text files below a folder: last part of the name -> text."""
    return {file.name: file.read_text() for file in folder.rglob("*.txt")}


@operation("jobs.create_or_update of a command, from YAML")
def create_from_yaml(session: Session) -> None:
    session.write("job/code/sentence.txt", "a sentence\n")
    session.write("job/notes/note.txt", "a note\n")
    file = session.write("job/job.yml", YAML.replace("IMAGE", IMAGE))
    job = session.client.jobs.create_or_update(load_job(file))
    session.made["job"] = job.name
    assert (job.display_name, job.experiment_name, job.tags["team"]) == ("from a file", "operations", "tests")
    assert job.studio_url.startswith("http://127.0.0.1:")


@operation("jobs.stream")
def stream(session: Session) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        session.client.jobs.stream(session.made["job"])
    assert "hello greetings" in printed.getvalue()
    assert "Execution Summary" in printed.getvalue()


@operation("jobs.get")
def get(session: Session) -> None:
    job = session.client.jobs.get(session.made["job"])
    assert (job.status, job.type) == ("Completed", "command")
    assert job.environment_variables["GREETING"] == "greetings"
    assert set(job.inputs) == {"word", "notes"}
    assert "text" in job.outputs


@operation("jobs.get of one that is not there")
def get_missing(session: Session) -> None:
    raises(ResourceNotFoundError, lambda: session.client.jobs.get(session.name("nothing")))


@operation("jobs.list")
def list_jobs(session: Session) -> None:
    assert session.made["job"] in _names(session)


@operation("jobs.download of an output")
def download_output(session: Session) -> None:
    session.client.jobs.download(session.made["job"], download_path="output", output_name="text")
    assert texts(Path("output/named-outputs/text")) == {"text.txt": "a sentence\na note\n"}


@operation("jobs.download of the logs")
def download_logs(session: Session) -> None:
    session.client.jobs.download(session.made["job"], download_path="logs")
    assert "hello greetings" in texts(Path("logs/artifacts"))["std_log.txt"]


@operation("jobs.download(all=True)")
def download_all(session: Session) -> None:
    session.client.jobs.download(session.made["job"], download_path="all", all=True)
    assert {"text.txt", "std_log.txt"} <= set(texts(Path("all")))


@operation("jobs.download of the default artifacts")
def download_artifacts(session: Session) -> None:
    session.client.jobs.download(session.made["job"], download_path="artifacts", all=True)
    assert Path("artifacts/artifacts/outputs/kept.txt").read_text() == "kept\n"


@operation("jobs.create_or_update again changes what is said of a job")
def update(session: Session) -> None:
    job = session.client.jobs.get(session.made["job"])
    job.display_name, job.tags = "renamed", {**job.tags, "colour": "red"}
    session.client.jobs.create_or_update(job)
    again = session.client.jobs.get(session.made["job"])
    assert (again.display_name, again.tags["colour"], again.tags["team"]) == ("renamed", "red", "tests")
    assert (again.status, again.creation_context.created_at) == ("Completed", job.creation_context.created_at)


@operation("jobs.update")
def update_description(session: Session) -> None:
    session.client.jobs.update(session.made["job"], description="described", tags={"size": "small"})
    job = session.client.jobs.get(session.made["job"])
    assert (job.description, job.tags["size"], job.tags["team"]) == ("described", "small", "tests")


@operation("jobs.archive")
def archive(session: Session) -> None:
    session.client.jobs.archive(session.made["job"])
    assert session.made["job"] not in _names(session)
    assert session.made["job"] in _names(session, ListViewType.ARCHIVED_ONLY)


@operation("jobs.restore")
def restore(session: Session) -> None:
    session.client.jobs.restore(session.made["job"])
    assert session.made["job"] in _names(session)


@operation("jobs.create_or_update of command()")
def create_from_builder(session: Session) -> None:
    job = builder(session, "echo $((2 + 3)) > ${{outputs.sum}}", outputs={"sum": Output(type="uri_file")})
    job.name = session.name("sum")
    assert run(session, job).status == "Completed"
    session.client.jobs.download(job.name, download_path="sum", output_name="sum")
    assert [file.read_text() for file in Path("sum").rglob("*") if file.is_file()] == ["5\n"]


@operation("jobs.create_or_update with compute local")
def create_on_local(session: Session) -> None:
    job = builder(session, "echo here > ${{outputs.place}}/place.txt", outputs={"place": Output(type="uri_folder")})
    job.compute = "local"
    job = run(session, job)
    assert job.status == "Completed"
    session.client.jobs.download(job.name, download_path="local", output_name="place")
    assert texts(Path("local")) == {"place.txt": "here\n"}


@operation("jobs.create_or_update with a registered environment")
def create_with_registered_environment(session: Session) -> None:
    environment = f"azureml:{session.name('image')}:7"
    job = run(session, command(command="true", environment=environment, compute="any-cluster"))
    assert (job.status, job.environment) == ("Completed", f"{session.name('image')}:7")


@operation("jobs.create_or_update with data by version and by label")
def create_with_data(session: Session) -> None:
    inputs = {
        "file": Input(type="uri_file", path=f"azureml:{session.name('file')}:1"),
        "folder": Input(type="uri_folder", path=f"{session.name('folder')}@latest"),
        "table": Input(type="mltable", path=f"azureml:{session.name('table')}:2024"),
    }
    line = "cat ${{inputs.file}} ${{inputs.folder}}/a.txt && test -f ${{inputs.table}}/MLTable"
    job = run(session, builder(session, line, inputs=inputs))
    session.client.jobs.download(job.name, download_path="data-job")
    assert "Paris,France\nchanged" in texts(Path("data-job"))["std_log.txt"]


@operation("jobs.create_or_update with the output of another job")
def create_with_output(session: Session) -> None:
    source = Input(type="uri_folder", path=f"azureml://jobs/{session.made['job']}/outputs/text")
    file = Input(type="uri_file", path=f"azureml://jobs/{session.made['job']}/outputs/text/paths/text.txt")
    line = "diff ${{inputs.source}}/text.txt ${{inputs.file}}"
    assert run(session, builder(session, line, inputs={"source": source, "file": file})).status == "Completed"


@operation("data.create_or_update from the output of a job")
def data_from_output(session: Session) -> None:
    from azure.ai.ml.entities import Data

    path = f"azureml://jobs/{session.made['job']}/outputs/text"
    session.client.data.create_or_update(Data(name=session.name("text"), version="1", path=path, type="uri_folder"))
    source = Input(type="uri_folder", path=f"azureml:{session.name('text')}:1")
    line = "grep sentence ${{inputs.source}}/text.txt"
    assert run(session, builder(session, line, inputs={"source": source})).status == "Completed"


@operation("jobs.stream of a failing job raises")
def stream_failing(session: Session) -> None:
    job = session.client.jobs.create_or_update(builder(session, "echo the reason; exit 3"))
    error = raises(JobException, lambda: session.client.jobs.stream(job.name))
    assert "the reason" in str(error)
    assert session.client.jobs.get(job.name).status == "Failed"


@operation("jobs.begin_cancel")
def cancel(session: Session) -> None:
    job = session.client.jobs.create_or_update(builder(session, "sleep 300"))
    error = raises(JobException, lambda: session.client.jobs.download(job.name))
    assert "Download is allowed only in states" in str(error)
    session.client.jobs.begin_cancel(job.name).wait()
    assert wait(session, job.name).status == "Canceled"


@operation("jobs.create_or_update of what is not there is refused")
def create_with_missing(session: Session) -> None:
    source = Input(type="uri_folder", path="azureml://datastores/workspaceblobstore/paths/nowhere/")
    job = builder(session, "ls ${{inputs.source}}", inputs={"source": source})
    error = raises(HttpResponseError, lambda: session.client.jobs.create_or_update(job))
    assert error.status_code == 400
    assert '"source"' in str(error)


@operation("jobs.show_services")
def show_services(session: Session) -> None:
    assert session.client.jobs.show_services(session.made["job"]) is None


def _names(session: Session, view: str = ListViewType.ACTIVE_ONLY) -> list:
    return [job.name for job in session.client.jobs.list(list_view_type=view)]
