"""A pipeline job that is nothing but a pipeline component and what it is given."""

from pathlib import Path

import pytest

from azureml_local.home import Home
from azureml_local.job_bodies import _given_to
from azureml_local.node_bodies import LONGEST, seconds_of
from azureml_local.spec import Graph, Port, SpecError
from azureml_local.store import Store
from local_commands import azureml_local

STEP = """
name: step
version: "1"
type: command
environment: {image: any}
inputs: {rows: {type: integer}, word: {type: string}}
outputs: {out: {type: uri_folder}}
command: echo ${{inputs.rows}} "${{inputs.word}}" > ${{outputs.out}}/said
"""
WHOLE = """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineComponent.schema.json
name: whole
version: "1"
type: pipeline
inputs: {rows: {type: integer, default: 3}, word: {type: string}}
outputs: {out: {type: uri_folder}}
jobs:
  one:
    type: command
    compute: azureml:any
    component: step.yml
    inputs: {rows: "${{parent.inputs.rows}}", word: "${{parent.inputs.word}}"}
    outputs: {out: "${{parent.outputs.out}}"}
"""
JOB = "{type: pipeline, compute: azureml:any, component: whole.yml, inputs: {word: hello}}\n"


def test_the_nodes_of_the_component_are_those_of_the_job(tmp_path: Path):
    for name, text in (("step.yml", STEP), ("whole.yml", WHOLE), ("job.yml", JOB)):
        (tmp_path / name).write_text(text)
    home = tmp_path / "home"
    run = azureml_local("run", tmp_path / "job.yml", home=home)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "one: Completed" in run.stdout
    (out,) = [line.split(": ", 1)[1] for line in run.stdout.splitlines() if line.startswith("output  out: ")]
    assert Path(out, "said").read_text() == "3 hello\n"
    store = Store(Home(home).database)
    assert [one.body["status"] for one in store.all("runs")] == ["Completed"] * 2
    store.close()


GRAPH = Graph(
    name="whole",
    version="1",
    inputs={
        "rows": Port(name="rows", type="integer", default="3"),
        "word": Port(name="word", type="string"),
        "more": Port(name="more", type="string", optional=True),
    },
)


def test_defaults_stand_in_for_what_is_not_given():
    assert _given_to(GRAPH, {"word": "a"}) == {"rows": "3", "word": "a", "more": None}
    assert _given_to(GRAPH, {"word": "a", "rows": "5"})["rows"] == "5"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, 'inputs: the job does not give "word", which its component requires'),
        ({"word": "a", "wrod": "b"}, 'the job\'s component has no input "wrod"; there are rows, word, more'),
    ],
)
def test_inputs_that_are_missing_or_unknown_are_named(given: dict, sentence: str):
    with pytest.raises(SpecError, match=sentence):
        _given_to(GRAPH, given)


def test_a_limit_of_time_is_one_that_a_clock_can_have():
    assert seconds_of("PT1H", "limits.timeout") == 3600
    assert seconds_of(LONGEST, "limits.timeout") == LONGEST
    for text in ("1000000000000", "inf", "nan", "0", "-1", "soon"):
        with pytest.raises(SpecError, match=f'limits.timeout: expected a number of seconds .*, got "{text}"'):
            seconds_of(text, "limits.timeout")
