"""`--set` of `azureml-local run`, as `az ml job create` has it."""

from pathlib import Path

import pytest

from azureml_local import overrides
from azureml_local.errors import InputError
from local_project import write_project

PIPELINE = {"type": "pipeline", "inputs": {"text": "hi"}, "jobs": {"greet": {"component": "greet.yml", "inputs": {}}}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("overrides"))


def test_overrides_are_those_of_az_ml(project: Path):
    settings = ["inputs.text=a=b", "jobs.greet.inputs.times=2", "experiment_name=x", "settings.force_rerun=true"]
    assert overrides.parse_overrides(settings, PIPELINE, project) == [
        {"inputs.text": "a=b"},
        {"jobs.greet.inputs.times": "2"},
        {"experiment_name": "x"},
        {"settings.force_rerun": "true"},
    ]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("inputs.txt=1", '--set inputs.txt: the file has no "txt" under "inputs"; did you mean "text"?'),
        ("inputs.nope=1", '--set inputs.nope: the file has no "nope" under "inputs"; there are text.'),
        (
            "jobs.gret.inputs.x=1",
            '--set jobs.gret.inputs.x: the file has no "gret" under "jobs"; did you mean "greet"?',
        ),
        ("input.text=1", '--set input.text: a job has no "input"; did you mean "inputs"?'),
        ("inputs.text.path=x", "--set inputs.text.path: \"text\" is 'hi' in the file and has no fields to set."),
        (
            "jobs.greet.inputs.tims.path=1",
            '--set jobs.greet.inputs.tims.path: the component of "greet" has no input "tims"; did you mean "times"?',
        ),
        ("jobs.greet.comput=x", '--set jobs.greet.comput: a node has no "comput"; did you mean "compute"?'),
        ("jobs.greet.nope=x", '--set jobs.greet.nope: a node has no "nope".'),
        ("inputs.text", "--set inputs.text: expected key=value, as in --set inputs.seed=1."),
    ],
)
def test_an_override_without_a_place_is_refused(setting: str, expected: str, project: Path):
    with pytest.raises(InputError) as refusal:
        overrides.parse_overrides([setting], PIPELINE, project)
    assert str(refusal.value) == expected
