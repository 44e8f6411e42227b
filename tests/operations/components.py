"""Components of commands and of pipelines, registered and found again."""

from azure.ai.ml import load_component
from azure.ai.ml.constants import ListViewType
from azure.core.exceptions import ResourceNotFoundError

from operations.environments import IMAGE
from operations.table import Session, operation, raises

SAY = """
$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
name: {name}
{version}
type: command
display_name: Say it
description: says a word
tags: {{colour: blue}}
code: code
environment: {{image: {image}}}
inputs:
  word: {{type: string, default: hello}}
  times: {{type: integer, default: 1, min: 1, max: 5}}
  mark: {{type: string, optional: true}}
outputs:
  said: {{type: uri_folder}}
command: >-
  bash say.sh "${{{{inputs.word}}}}" ${{{{inputs.times}}}} $[[${{{{inputs.mark}}}}]]
  > ${{{{outputs.said}}}}/said.txt
"""
COPY = """
$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
name: {name}
type: command
environment: {{image: {image}}}
inputs:
  source: {{type: uri_folder}}
outputs:
  copied: {{type: uri_folder}}
command: cp ${{{{inputs.source}}}}/* ${{{{outputs.copied}}}}/
"""
TWICE = """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineComponent.schema.json
name: {name}
version: "1"
type: pipeline
inputs:
  word: {{type: string}}
outputs:
  said: {{type: uri_folder}}
jobs:
  say:
    type: command
    component: azureml:{say}:1
    inputs: {{word: "${{{{parent.inputs.word}}}}"}}
  copy:
    type: command
    component: azureml:{copy}@latest
    inputs: {{source: "${{{{parent.jobs.say.outputs.said}}}}"}}
    outputs: {{copied: "${{{{parent.outputs.said}}}}"}}
"""


def name(session: Session, word: str) -> str:
    """The name of a component: lower-case letters, digits and underscores."""
    return session.name(word).replace("-", "_")


@operation("components.create_or_update of a command, from YAML")
def create(session: Session) -> None:
    session.write("components/code/say.sh", 'for number in $(seq "$2"); do echo "$1$3"; done\n')
    text = SAY.format(name=name(session, "say"), version='version: "1"', image=IMAGE)
    created = session.client.components.create_or_update(load_component(session.write("components/say.yml", text)))
    assert (created.name, created.version, created.type) == (name(session, "say"), "1", "command")


@operation("components.create_or_update counts versions up")
def count_up(session: Session) -> None:
    text = SAY.format(name=name(session, "say"), version="", image=IMAGE).replace("says a word", "says two")
    file = session.write("components/say-again.yml", text)
    assert session.client.components.create_or_update(load_component(file)).version == "2"
    copy = session.write("components/copy.yml", COPY.format(name=name(session, "copy"), image=IMAGE))
    assert session.client.components.create_or_update(load_component(copy)).version == "1"


@operation("components.create_or_update of a pipeline")
def create_pipeline(session: Session) -> None:
    names = {word: name(session, word) for word in ("say", "copy")}
    file = session.write("components/twice.yml", TWICE.format(name=name(session, "twice"), **names))
    created = session.client.components.create_or_update(load_component(file))
    assert (created.type, set(created.jobs)) == ("pipeline", {"say", "copy"})


@operation("components.get")
def get(session: Session) -> None:
    found = session.client.components.get(name(session, "say"), version="1")
    assert (found.display_name, found.description, found.tags) == ("Say it", "says a word", {"colour": "blue"})
    assert set(found.inputs) == {"word", "times", "mark"}
    assert found.inputs["mark"].optional
    assert found.outputs["said"].type == "uri_folder"
    assert "${{inputs.word}}" in found.command


@operation("components.get by label")
def get_by_label(session: Session) -> None:
    assert session.client.components.get(name(session, "say"), label="latest").version == "2"


@operation("components.get of the latest")
def get_latest(session: Session) -> None:
    assert session.client.components.get(name(session, "say")).version == "2"


@operation("components.get of one that is not there")
def get_missing(session: Session) -> None:
    raises(ResourceNotFoundError, lambda: session.client.components.get("nothing", version="1"))


@operation("components.validate")
def validate(session: Session) -> None:
    assert session.client.components.validate(load_component(session.folder / "components/say.yml")).passed


@operation("components.list")
def list_names(session: Session) -> None:
    names = {component.name for component in session.client.components.list()}
    assert {name(session, word) for word in ("say", "copy", "twice")} <= names
    assert "azureml_anonymous" not in names


@operation("components.list of a name")
def list_versions(session: Session) -> None:
    assert _versions(session) == ["1", "2"]


@operation("components.archive and restore of a version")
def archive_version(session: Session) -> None:
    session.client.components.archive(name(session, "say"), version="2")
    assert _versions(session) == ["1"]
    assert _versions(session, list_view_type=ListViewType.ARCHIVED_ONLY) == ["2"]
    session.client.components.restore(name(session, "say"), version="2")
    assert _versions(session) == ["1", "2"]


@operation("components.archive and restore of a name")
def archive_name(session: Session) -> None:
    session.client.components.archive(name(session, "copy"))
    assert name(session, "copy") not in [component.name for component in session.client.components.list()]
    session.client.components.restore(name(session, "copy"))
    assert name(session, "copy") in [component.name for component in session.client.components.list()]


def _versions(session: Session, **view: str) -> list:
    return sorted(found.version for found in session.client.components.list(name=name(session, "say"), **view))
