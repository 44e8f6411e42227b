"""What the workspace's interpreter lacks of an environment."""

import platform

import pytest

from azureml_local.environments.readiness import readiness, requirements_of
from azureml_local.spec import Environment


def test_an_image_for_r_is_refused() -> None:
    wanted = requirements_of(Environment(name="r:1", image="rocker/tidyverse:4.0.0-ubuntu18.04"))
    assert wanted.refusals == [
        "the image rocker/tidyverse:4.0.0-ubuntu18.04 is made for R, and the local workspace runs Python only"
    ]


def test_each_requirement_that_is_not_met_has_a_sentence() -> None:
    lines = [
        "dependencies:",
        "- python=2.7",
        "- pytest>=99",
        "- pip:",
        "  - no-such-thing",
        "  - pytest; python_version<'3'",
    ]
    ready = readiness(Environment(name="mine:1", conda="\n".join([*lines, "- r-base"])))
    pytest_version = pytest.__version__
    assert ready.unmet[0].startswith("python==2.7.*: 3.")
    assert ready.unmet[1] == f"pytest>=99: {pytest_version} is installed"
    assert ready.unmet[2] == "no-such-thing: not installed"
    assert ready.unmet[3].startswith("r-base is no Python package")
    assert len(ready.unmet) == 4
    assert ready.warning.startswith('environment "mine:1": 3 requirements are not met (python==2.7.*')
    assert ready.warning.endswith(
        "; r-base is no Python package, and the local workspace installs Python packages only"
    )


def test_a_warning_says_what_would_help() -> None:
    ready = readiness(Environment(name="mine:1", conda="dependencies: [no-such-thing]"))
    assert ready.warning == (
        'environment "mine:1": 1 requirement is not met (no-such-thing: not installed); a workspace that was started '
        "with --build-environments makes one that has them"
    )


def test_an_environment_that_is_met_gives_no_warning() -> None:
    ready = readiness(Environment(name="mine:1", image="python", conda="dependencies: [python, pytest]"))
    assert ready.unmet == ()
    assert ready.warning == ""
    assert ready.notes == ("the image python is not used: jobs are processes of this machine",)


def test_an_environment_of_a_registry_is_named_with_the_way_out() -> None:
    name = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"
    ready = readiness(Environment(name=name))
    assert ready.unmet == ()
    assert ready.warning == (
        f'environment "{name}": {ready.notes[0]}; until then the job runs in the workspace\'s Python '
        f"{platform.python_version()}"
    )
    assert ready.notes == (
        "it belongs to a registry and its packages are not known: "
        'register an environment "sklearn-1.5" with its conda file',
    )


def test_a_curated_environment_is_told_as_unknown_and_one_of_an_image_is_not() -> None:
    warning = readiness(Environment(name="AzureML-sklearn-1.0@latest")).warning
    assert "it is not in the local workspace and its packages are not known" in warning
    assert readiness(Environment(image="any")).warning == ""


def test_builds_of_one_version_are_not_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azureml_local.environments.readiness.metadata.version", lambda _: "2.13.0+cpu")
    conda = "dependencies: [pip: [torch==2.13.0+cu126]]"
    assert readiness(Environment(name="a:1", conda=conda)).unmet == ()
    newer = conda.replace("2.13.0", "2.14.0")
    assert readiness(Environment(name="a:1", conda=newer)).unmet == ("torch==2.14.0+cu126: 2.13.0+cpu is installed",)
