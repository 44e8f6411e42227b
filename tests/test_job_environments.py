"""What a job runs in: the workspace's interpreter by default, and what its environment asks for when it is built."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from azureml_local.environments import job_environments
from azureml_local.environments.cache import cached_environments
from azureml_local.environments.job_environments import Interpreter, JobEnvironmentError, JobEnvironments
from azureml_local.environments.private_layer import may_install, private_layer
from azureml_local.environments.pythons import OWN, Python, find_python
from azureml_local.environments.readiness import readiness
from azureml_local.processes import Groups
from azureml_local.spec import Environment
from small_environments import NEVER, conda, wheel


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip may look into."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_by_default_a_job_runs_in_the_interpreter_of_the_workspace(groups: Groups, tmp_path: Path) -> None:
    environments = JobEnvironments(tmp_path / "environments", groups, build=False)
    log = tmp_path / "system_logs" / "environment.log"
    interpreter = environments.prepare(conda("python=2.7", "no-such-thing"), log, NEVER)
    assert interpreter.python == Path(sys.executable)
    assert interpreter.warning.startswith('environment "mine:1": 2 requirements are not met')
    assert "not met:      no-such-thing: not installed\n" in log.read_text()
    own = f"{Path(sys.executable).parent}:/bin"
    assert interpreter.applied_to({"PATH": own, "A": "b"}) == {"PATH": own, "A": "b"}
    assert not (tmp_path / "environments").exists()


def test_an_environment_is_compared_once(groups: Groups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare = Mock(wraps=readiness)
    monkeypatch.setattr(job_environments, "readiness", compare)
    environments = JobEnvironments(tmp_path / "environments", groups, build=False)
    for _ in range(3):
        environments.prepare(conda("no-such-thing"), tmp_path / "log", NEVER)
    environments.prepare(conda("another-thing"), tmp_path / "log", NEVER)
    assert compare.call_count == 2


def test_a_built_environment_has_what_it_asks_for_and_nothing_else(
    environments: JobEnvironments, wheels: Path, tmp_path: Path
) -> None:
    wheel(wheels, "greeting")
    interpreter = environments.prepare(conda("python", {"pip": ["greeting"]}), tmp_path / "log", NEVER)
    variables = interpreter.applied_to({"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": "/x"})
    script = "greeting && python -c 'import sys, greeting; print(sys.prefix)' && ! python -c 'import pytest'"
    done = subprocess.run(["bash", "-c", script], env=variables, capture_output=True, text=True)
    assert done.stdout == f"hello\n{variables['VIRTUAL_ENV']}\n", done.stderr
    assert done.returncode == 0
    assert str(Path(sys.executable).parent) not in variables["PATH"]
    layer = private_layer(interpreter, tmp_path / "layer").applied_to(variables)
    script = "greeting && python -c 'import greeting' && pip --version && ! python -c 'import pytest'"
    assert subprocess.run(["bash", "-c", script], env=layer, capture_output=True).returncode == 0
    [cached] = cached_environments(tmp_path / "environments")
    assert cached.folder == Path(variables["VIRTUAL_ENV"])
    assert cached.title == "mine:1"
    assert cached.size > 1e6
    assert time.time() - cached.last_used.timestamp() < 600


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        (conda("python=2.7"), "needs python==2.7.*, and this machine has 3."),
        (conda("r-base=4.0"), "r-base=4.0 is no Python package"),
        (Environment(name="r:1", image="rocker/r-ver:4"), "is made for R"),
        (Environment(name="azureml://registries/azureml/environments/s/labels/latest"), "belongs to a registry"),
        (Environment(name="AzureML-sklearn-1.5@latest"), 'register an environment "AzureML-sklearn-1.5"'),
        (Environment(name="a:1", dockerfile="Dockerfile"), "is not on this machine"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_way_out(
    environments: JobEnvironments, tmp_path: Path, environment: Environment, reason: str
) -> None:
    with pytest.raises(JobEnvironmentError) as raised:
        environments.prepare(environment, tmp_path / "log", NEVER)
    assert reason in str(raised.value)
    assert "without --build-environments" in str(raised.value)
    assert reason in (tmp_path / "log").read_text()
    assert "\n" not in str(raised.value)


def test_an_image_of_python_alone_is_an_empty_environment(
    environments: JobEnvironments, fake: Callable[..., Path], tmp_path: Path
) -> None:
    calls = fake()
    interpreter = environments.prepare(Environment(name="a:1", image="library/python:latest"), tmp_path / "log", NEVER)
    assert interpreter.is_built
    assert calls.read_text() == "venv\n"


@pytest.mark.parametrize("environment", [Environment(), Environment(name="a:1", image="pytorch/pytorch:2.0")])
def test_without_a_list_of_packages_a_job_runs_in_the_interpreter_of_the_workspace(
    environments: JobEnvironments, tmp_path: Path, environment: Environment
) -> None:
    interpreter = environments.prepare(environment, tmp_path / "log", NEVER)
    assert interpreter.python == OWN.executable
    assert bool(interpreter.warning) == bool(environment.image)


def test_variables_of_a_dockerfile_are_those_of_its_jobs(
    environments: JobEnvironments, fake: Callable[..., Path], tmp_path: Path
) -> None:
    fake()
    (tmp_path / "Dockerfile").write_text("FROM python\nENV MODE=fast\nRUN pip install a\n")
    environment = Environment(name="a:1", dockerfile="Dockerfile", build_context=tmp_path)
    assert environments.prepare(environment, tmp_path / "log", NEVER).applied_to({"MODE": "slow"})["MODE"] == "fast"


def test_another_python_is_found_by_its_name_and_only_when_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, text in (("shims", "exit 127"), ("real", "echo 3.7.16 CPython")):
        script = tmp_path / folder / "python3.7"
        script.parent.mkdir()
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'real'}:{os.environ['PATH']}")
    assert find_python("==3.7.*") == Python(tmp_path / "real" / "python3.7", "3.7.16", "CPython")
    assert find_python("") == OWN
    assert find_python("==2.7.*") is None


def test_what_a_job_installs_is_there_for_it_alone(wheels: Path, tmp_path: Path) -> None:
    wheel(wheels, "greeting")
    layer = private_layer(Interpreter(python=OWN.executable), tmp_path / "job" / "packages")
    variables = layer.applied_to(os.environ | {"PATH": f"{OWN.executable.parent}:/usr/bin:/bin"})
    script = "pip install -q greeting && greeting && python -c 'import pytest, greeting'"
    done = subprocess.run(["bash", "-c", script], env=variables, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("hello\n", 0), done.stderr
    with pytest.raises(ModuleNotFoundError):
        __import__("greeting")


def test_a_command_that_may_install_something_is_known_by_its_words() -> None:
    assert may_install("pip install 'mlflow<2.19' -q && python hello.py")
    assert may_install("python -m pip install x")
    assert not may_install("python pipeline.py --pipe x")
