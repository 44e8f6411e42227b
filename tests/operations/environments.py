"""Environments: registered, found by name, version and label, archived and restored."""

from azure.ai.ml import load_environment
from azure.ai.ml.constants import ListViewType
from azure.ai.ml.entities import Environment
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from operations.table import Session, operation, raises

IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
YAML = """
$schema: https://azuremlschemas.azureedge.net/latest/environment.schema.json
name: {name}
image: {image}
conda_file: conda.yml
description: from a file
tags: {{team: tests}}
"""


@operation("environments.create_or_update of an image")
def create(session: Session) -> None:
    wanted = Environment(name=session.name("image"), version="7", image=IMAGE, tags={"kept": "yes"})
    created = session.client.environments.create_or_update(wanted)
    assert (created.version, created.image, created.tags) == ("7", IMAGE, {"kept": "yes"})


@operation("environments.create_or_update of a conda file, from YAML")
def create_from_yaml(session: Session) -> None:
    session.write("env/conda.yml", "")
    file = session.write("env/environment.yml", YAML.format(name=session.name("conda"), image=IMAGE))
    for dependency, version in (("python=3.11", "1"), ("python=3.12", "2")):
        session.write("env/conda.yml", f"dependencies: [{dependency}]\n")
        assert session.client.environments.create_or_update(load_environment(file)).version == version


@operation("environments.create_or_update of a version with another image is refused")
def change(session: Session) -> None:
    wanted = Environment(name=session.name("image"), version="7", image="ubuntu")
    error = raises(HttpResponseError, lambda: session.client.environments.create_or_update(wanted))
    assert error.status_code == 409


@operation("environments.get")
def get(session: Session) -> None:
    found = session.client.environments.get(session.name("conda"), version="1")
    assert found.conda_file == {"dependencies": ["python=3.11"]}
    assert (found.description, found.tags) == ("from a file", {"team": "tests"})


@operation("environments.get of one that is not there")
def get_missing(session: Session) -> None:
    raises(ResourceNotFoundError, lambda: session.client.environments.get(session.name("conda"), version="9"))


@operation("environments.get by label")
def get_by_label(session: Session) -> None:
    assert session.client.environments.get(session.name("conda"), label="latest").version == "2"


@operation("environments.list")
def list_names(session: Session) -> None:
    names = [environment.name for environment in session.client.environments.list()]
    assert {session.name("image"), session.name("conda")} <= set(names)


@operation("environments.list of a name")
def list_versions(session: Session) -> None:
    assert _versions(session) == ["1", "2"]


@operation("environments.archive of a version")
def archive_version(session: Session) -> None:
    session.client.environments.archive(session.name("conda"), version="2")
    assert _versions(session) == ["1"]
    assert _versions(session, list_view_type=ListViewType.ARCHIVED_ONLY) == ["2"]


@operation("environments.restore of a version")
def restore_version(session: Session) -> None:
    session.client.environments.restore(session.name("conda"), version="2")
    assert _versions(session) == ["1", "2"]


@operation("environments.archive by label")
def archive_by_label(session: Session) -> None:
    session.client.environments.archive(session.name("conda"), label="latest")
    assert _versions(session) == ["1"]
    session.client.environments.restore(session.name("conda"), version="2")


@operation("environments.archive and restore of a name")
def archive_name(session: Session) -> None:
    session.client.environments.archive(session.name("conda"))
    assert session.name("conda") not in [found.name for found in session.client.environments.list()]
    session.client.environments.restore(session.name("conda"))
    assert session.name("conda") in [found.name for found in session.client.environments.list()]


def _versions(session: Session, **view: str) -> list:
    return sorted(found.version for found in session.client.environments.list(name=session.name("conda"), **view))
