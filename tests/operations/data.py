"""Data assets of every type, and the files behind them."""

from azure.ai.ml import load_data
from azure.ai.ml.constants import ListViewType
from azure.ai.ml.entities import Data
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from operations.table import Session, operation, raises

MLTABLE = """
type: mltable
paths: [{file: ./cities.csv}]
transformations: [{read_delimited: {delimiter: ","}}]
"""
YAML = """
$schema: https://azuremlschemas.azureedge.net/latest/data.schema.json
name: %s
type: uri_folder
path: folder
description: from a file
"""


@operation("data.create_or_update of a uri_file")
def create_file(session: Session) -> None:
    file = session.write("data/cities.csv", "city,country\nParis,France\n")
    created = session.client.data.create_or_update(Data(name=session.name("file"), path=str(file), type="uri_file"))
    assert (created.version, created.type) == ("1", "uri_file")
    assert created.path.endswith("cities.csv")


@operation("data.create_or_update of a uri_folder, from YAML")
def create_folder(session: Session) -> None:
    session.write("data/folder/a.txt", "a")
    session.write("data/folder/deeper/b.txt", "b")
    file = session.write("data/folder.yml", YAML % session.name("folder"))
    created = session.client.data.create_or_update(load_data(file))
    assert (created.type, created.description) == ("uri_folder", "from a file")


@operation("data.create_or_update of an mltable")
def create_table(session: Session) -> None:
    session.write("data/table/MLTable", MLTABLE)
    folder = session.write("data/table/cities.csv", "city,country\nParis,France\n").parent
    wanted = Data(
        name=session.name("table"),
        version="2024",
        path=str(folder),
        type="mltable",
        tags={"rows": "1"},
        # Any JSON will do: left alone, the SDK looks for its schema on the internet.
        mltable_schema_url=session.client.workspaces.get(session.client.workspace_name).discovery_url,
    )
    session.client.data.create_or_update(wanted)
    found = session.client.data.get(session.name("table"), version="2024")
    assert (found.type, found.tags) == ("mltable", {"rows": "1"})


@operation("data.create_or_update counts versions up")
def count_up(session: Session) -> None:
    changed = session.write("data/folder/a.txt", "changed")
    created = session.client.data.create_or_update(
        Data(name=session.name("folder"), path=str(changed.parent), type="uri_folder")
    )
    assert created.version == "2"


@operation("data.create_or_update of a datastore path")
def create_remote(session: Session) -> None:
    path = session.client.data.get(session.name("folder"), version="1").path
    created = session.client.data.create_or_update(Data(name=session.name("remote"), path=path, type="uri_folder"))
    assert created.path == path


@operation("data.create_or_update of a new description")
def update(session: Session) -> None:
    found = session.client.data.get(session.name("folder"), version="1")
    found.description, found.tags = "described anew", {"colour": "red"}
    session.client.data.create_or_update(found)
    again = session.client.data.get(session.name("folder"), version="1")
    assert (again.description, again.tags) == ("described anew", {"colour": "red"})


@operation("data.create_or_update of a version with other files is refused")
def change(session: Session) -> None:
    path = session.client.data.get(session.name("folder"), version="2").path
    wanted = Data(name=session.name("folder"), version="1", path=path, type="uri_folder")
    error = raises(HttpResponseError, lambda: session.client.data.create_or_update(wanted))
    assert error.status_code == 409
    assert "dataUri" in str(error)


@operation("data.get by label")
def get_by_label(session: Session) -> None:
    assert session.client.data.get(session.name("folder"), label="latest").version == "2"


@operation("data.get of one that is not there")
def get_missing(session: Session) -> None:
    raises(ResourceNotFoundError, lambda: session.client.data.get("nothing", version="1"))


@operation("data.list")
def list_names(session: Session) -> None:
    names = {data.name for data in session.client.data.list()}
    assert {session.name(word) for word in ("file", "folder", "table", "remote")} <= names


@operation("data.list of a name")
def list_versions(session: Session) -> None:
    assert _versions(session) == ["1", "2"]


@operation("data.archive and restore of a version")
def archive_version(session: Session) -> None:
    session.client.data.archive(session.name("folder"), version="2")
    assert _versions(session) == ["1"]
    assert _versions(session, list_view_type=ListViewType.ALL) == ["1", "2"]
    session.client.data.restore(session.name("folder"), version="2")
    assert _versions(session) == ["1", "2"]


@operation("data.archive and restore of a name")
def archive_name(session: Session) -> None:
    session.client.data.archive(session.name("table"))
    assert session.name("table") not in [data.name for data in session.client.data.list()]
    archived = session.client.data.list(list_view_type=ListViewType.ARCHIVED_ONLY)
    assert session.name("table") in [data.name for data in archived]
    session.client.data.restore(session.name("table"))
    assert session.name("table") in [data.name for data in session.client.data.list()]


def _versions(session: Session, **view: str) -> list:
    return sorted(found.version for found in session.client.data.list(name=session.name("folder"), **view))
