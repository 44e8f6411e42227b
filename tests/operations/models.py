"""Models: from files, from jobs, found by label, downloaded, archived and restored."""

from pathlib import Path

from azure.ai.ml import load_model
from azure.ai.ml.constants import ListViewType
from azure.ai.ml.entities import Model
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from operations.jobs import texts
from operations.table import Session, operation, raises

MLMODEL = """
flavors:
  python_function: {loader_module: nothing, python_version: "3.11"}
model_uuid: 00000000000000000000000000000000
"""
YAML = """
$schema: https://azuremlschemas.azureedge.net/latest/model.schema.json
name: %s
version: 2
type: custom_model
path: model
description: from a file
tags: {team: tests}
"""


@operation("models.create_or_update of a folder")
def create(session: Session) -> None:
    folder = session.write("models/model/greeting.txt", "hello").parent
    created = session.client.models.create_or_update(Model(name=session.name("model"), path=str(folder)))
    assert (created.version, created.type) == ("1", "custom_model")


@operation("models.create_or_update from YAML")
def create_from_yaml(session: Session) -> None:
    file = session.write("models/model.yml", YAML % session.name("model"))
    created = session.client.models.create_or_update(load_model(file))
    assert (created.version, created.description, created.tags) == ("2", "from a file", {"team": "tests"})


@operation("models.create_or_update of an mlflow_model")
def create_mlflow(session: Session) -> None:
    folder = session.write("models/mlflow/MLmodel", MLMODEL).parent
    model = Model(name=session.name("mlflow"), path=str(folder), type="mlflow_model", stage="Production")
    session.client.models.create_or_update(model)
    found = session.client.models.get(session.name("mlflow"), version="1")
    assert (found.type, found.stage) == ("mlflow_model", "Production")
    assert found.flavors["python_function"] == {"loader_module": "nothing", "python_version": "3.11"}


@operation("models.create_or_update of a file")
def create_file(session: Session) -> None:
    file = session.write("models/weights.txt", "1 2 3")
    session.client.models.create_or_update(Model(name=session.name("weights"), path=str(file), version="3"))
    assert session.client.models.get(session.name("weights"), version="3").path.endswith("weights.txt")


@operation("models.create_or_update from the output of a job")
def create_from_output(session: Session) -> None:
    path = f"azureml://jobs/{session.made['job']}/outputs/text"
    created = session.client.models.create_or_update(Model(name=session.name("model"), path=path))
    assert created.version == "3"
    assert session.made["job"] in created.path


@operation("models.create_or_update of what is not there is refused")
def create_missing(session: Session) -> None:
    model = Model(name=session.name("missing"), path="azureml://jobs/nobody/outputs/model")
    error = raises(HttpResponseError, lambda: session.client.models.create_or_update(model))
    assert error.status_code == 400


@operation("models.get by label")
def get_by_label(session: Session) -> None:
    assert session.client.models.get(session.name("model"), label="latest").version == "3"


@operation("models.get of one that is not there")
def get_missing(session: Session) -> None:
    raises(ResourceNotFoundError, lambda: session.client.models.get(session.name("model"), version="99"))


@operation("models.list")
def list_names(session: Session) -> None:
    names = {model.name for model in session.client.models.list()}
    assert {session.name(word) for word in ("model", "mlflow", "weights")} <= names


@operation("models.list of a name")
def list_versions(session: Session) -> None:
    assert _versions(session) == ["1", "2", "3"]


@operation("models.list by stage")
def list_by_stage(session: Session) -> None:
    name = session.name("mlflow")
    assert [model.version for model in session.client.models.list(name, stage="Production")] == ["1"]
    assert list(session.client.models.list(name, stage="Archived")) == []


@operation("models.download")
def download(session: Session) -> None:
    session.client.models.download(session.name("model"), version="1", download_path="downloaded")
    assert texts(Path("downloaded")) == {"greeting.txt": "hello"}


@operation("models.download of a job's output")
def download_output(session: Session) -> None:
    session.client.models.download(session.name("model"), version="3", download_path="from-job")
    assert texts(Path("from-job")) == {"text.txt": "a sentence\na note\n"}


@operation("models.download of a file")
def download_file(session: Session) -> None:
    session.client.models.download(session.name("weights"), version="3", download_path="file")
    assert texts(Path("file")) == {"weights.txt": "1 2 3"}


@operation("models.create_or_update of new tags")
def update(session: Session) -> None:
    model = session.client.models.get(session.name("model"), version="1")
    model.tags = {"colour": "red"}
    session.client.models.create_or_update(model)
    assert session.client.models.get(session.name("model"), version="1").tags == {"colour": "red"}


@operation("models.archive and restore of a version")
def archive_version(session: Session) -> None:
    session.client.models.archive(session.name("model"), version="2")
    assert _versions(session) == ["1", "3"]
    assert _versions(session, list_view_type=ListViewType.ARCHIVED_ONLY) == ["2"]
    session.client.models.restore(session.name("model"), version="2")
    assert _versions(session) == ["1", "2", "3"]


@operation("models.archive and restore of a name")
def archive_name(session: Session) -> None:
    session.client.models.archive(session.name("weights"))
    assert session.name("weights") not in [model.name for model in session.client.models.list()]
    session.client.models.restore(session.name("weights"))
    assert session.name("weights") in [model.name for model in session.client.models.list()]


def _versions(session: Session, **view: str) -> list:
    return sorted(found.version for found in session.client.models.list(name=session.name("model"), **view))
