"""What jobs leave behind: outputs that become assets or lie where one wants them, default artifacts, and reuse."""

from pathlib import Path

from azure.ai.ml import Input, Output, dsl
from azure.ai.ml.entities import Model

from operations.components import name
from operations.jobs import builder, run, texts
from operations.table import Session, operation


@operation("jobs.create_or_update with an output that becomes a data asset")
def register_output(session: Session) -> None:
    output = Output(type="uri_folder", name=session.name("made"), version="1")
    run(session, builder(session, "echo made > ${{outputs.made}}/made.txt", outputs={"made": output}))
    found = session.client.data.get(session.name("made"), version="1")
    assert found.type == "uri_folder"
    source = Input(type="uri_folder", path=f"azureml:{found.name}:{found.version}")
    again = run(session, builder(session, "grep made ${{inputs.source}}/made.txt", inputs={"source": source}))
    assert again.status == "Completed"


@operation("jobs.create_or_update with an output at a place of one's choice")
def place_output(session: Session) -> None:
    path = f"azureml://datastores/workspaceblobstore/paths/{session.name('place')}/"
    output = Output(type="uri_folder", path=path)
    run(session, builder(session, "echo here > ${{outputs.place}}/here.txt", outputs={"place": output}))
    source = Input(type="uri_folder", path=path)
    again = run(session, builder(session, "grep here ${{inputs.source}}/here.txt", inputs={"source": source}))
    assert again.status == "Completed"


@operation("models.create_or_update from the default artifacts of a job")
def model_from_artifacts(session: Session) -> None:
    path = f"azureml://jobs/{session.made['job']}/outputs/artifacts/paths/outputs/"
    created = session.client.models.create_or_update(Model(name=session.name("artifacts"), path=path))
    session.client.models.download(created.name, version=created.version, download_path="artifact-model")
    assert texts(Path("artifact-model")) == {"kept.txt": "kept\n"}


@operation("jobs.create_or_update of equal steps reuses the first")
def reuse(session: Session) -> None:
    say = session.client.components.get(name(session, "say"), version="1")

    @dsl.pipeline(default_compute="any-cluster", experiment_name="operations")
    def saying(word: str):
        return {"result": say(word=word).outputs.said}

    word = session.name("word")
    for reused in (None, "true"):
        job = run(session, saying(word=word))
        child = next(iter(session.client.jobs.list(parent_job_name=job.name)))
        assert child.properties.get("azureml.isreused") == reused
    session.client.jobs.download(job.name, download_path="reused", output_name="result")
    assert texts(Path("reused")) == {"said.txt": f"{word}\n"}
