"""Job environments: the workspace's interpreter by default, and virtual environments that are built once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from azureml_local import job_environments
from azureml_local.environment_cache import cached_environments
from azureml_local.job_environments import Interpreter, JobEnvironmentError, JobEnvironments, WaitCancelledError
from azureml_local.processes import Groups
from azureml_local.pythons import OWN, Python, find_python
from azureml_local.spec import Environment
from small_pipelines import alive, until

NEVER = threading.Event()

# Stands for a Python: `-m venv <folder>` makes a folder with this script as its interpreter.
FAKE = """#!/bin/bash
echo "$3" >> {log}
for last; do :; done
case "$3" in
    venv) mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
    pip) echo "pip reads $(cat "$last")"; {pip} ;;
esac
"""


@pytest.fixture
def groups() -> Iterator[Groups]:
    groups = Groups()
    yield groups
    groups.close()


@pytest.fixture
def environments(groups: Groups, tmp_path: Path) -> Iterator[JobEnvironments]:
    made = JobEnvironments(tmp_path / "environments", groups, build=True)
    yield made
    made.close()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Lets a script stand for Python, with a command of ours for pip; its calls are in the file that is returned."""

    def use(pip: str = "true") -> Path:
        script, log = tmp_path / "fake-python", tmp_path / "calls"
        script.write_text(FAKE.format(log=log, pip=pip))
        script.chmod(0o755)
        monkeypatch.setattr(job_environments, "find_python", lambda wanted: replace(OWN, executable=script))
        return log

    return use


def conda(*dependencies: object, name: str = "mine:1") -> Environment:
    return Environment(name=name, conda=json.dumps({"dependencies": dependencies}))


def wheel(folder: Path, name: str) -> None:
    """A wheel of one module that says `hello`, with a command of the same name."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "def main(): print('hello')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)


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
    assert interpreter.applied_to({"PATH": "/bin", "A": "b"}) == {"PATH": "/bin", "A": "b"}
    assert not (tmp_path / "environments").exists()


def test_an_environment_is_compared_once(groups: Groups, tmp_path: Path) -> None:
    environments = JobEnvironments(tmp_path / "environments", groups, build=False)
    environment = conda(*(f"no-such-thing-{number}" for number in range(300)))
    environments.prepare(environment, tmp_path / "log", NEVER)
    start = time.perf_counter()
    for _ in range(20):
        environments.prepare(environment, tmp_path / "log", NEVER)
    assert time.perf_counter() - start < 20 * 0.005


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
    [cached] = cached_environments(tmp_path / "environments")
    assert cached.folder == Path(variables["VIRTUAL_ENV"])
    assert cached.title == "mine:1"
    assert cached.size > 1e6
    assert time.time() - cached.last_used.timestamp() < 600


def test_what_pip_cannot_install_is_told_with_the_end_of_its_log(
    environments: JobEnvironments, fake: Callable[[str], Path], tmp_path: Path
) -> None:
    fake("echo ERROR: No matching distribution >&2; echo WARNING: look elsewhere; exit 3")
    with pytest.raises(JobEnvironmentError) as raised:
        environments.prepare(conda("no-such-thing=3"), tmp_path / "log", NEVER)
    message = str(raised.value)
    assert message.startswith('environment "mine:1" cannot be built: pip ended with status 3; its log ends with:\n')
    assert message.endswith("pip reads no-such-thing==3.*\nERROR: No matching distribution")
    assert "ERROR: No matching distribution" in (tmp_path / "log").read_text()
    assert list((tmp_path / "environments").iterdir()) == []


def test_equal_environments_are_built_once_and_kept(
    environments: JobEnvironments, fake: Callable[[str], Path], groups: Groups, tmp_path: Path
) -> None:
    calls = fake("sleep 0.5")
    asked = [conda("a", "b"), conda("b", "a", "a", name="other:1")] * 3
    with ThreadPoolExecutor(6) as threads:
        made = list(threads.map(lambda one: environments.prepare(one, tmp_path / "log", NEVER), asked))
    later = JobEnvironments(tmp_path / "environments", groups, build=True)
    made.append(later.prepare(asked[0], tmp_path / "log", NEVER))
    assert len({interpreter.python for interpreter in made}) == 1
    assert calls.read_text() == "venv\npip\n"


def test_different_environments_are_built_beside_each_other(
    environments: JobEnvironments, fake: Callable[[str], Path], tmp_path: Path
) -> None:
    # Each pip ends only when there are three of them.
    calls = fake(f"while (( $(grep -c pip {tmp_path}/calls) < 3 )); do sleep 0.05; done")
    with ThreadPoolExecutor(3) as threads:
        made = threads.map(lambda name: environments.prepare(conda(name), tmp_path / name, NEVER), "abc")
        assert len({interpreter.python for interpreter in made}) == 3
    assert calls.read_text().count("pip") == 3


def waiting(environments: JobEnvironments, log: Path) -> tuple[threading.Event, "list[Interpreter | Exception]"]:
    """A job that waits for an environment in the background: its bell, and what becomes of it."""
    cancelled, results = threading.Event(), []

    def wait() -> None:
        try:
            results.append(environments.prepare(conda("a"), log, cancelled))
        except JobEnvironmentError as error:
            results.append(error)

    threading.Thread(target=wait, daemon=True).start()
    return cancelled, results


def test_a_cancelled_job_waits_no_longer_and_another_still_does(
    environments: JobEnvironments, fake: Callable[[str], Path], tmp_path: Path
) -> None:
    fake(f"while [[ ! -e {tmp_path}/go ]]; do sleep 0.05; done")
    first, of_first = waiting(environments, tmp_path / "log")
    _, of_second = waiting(environments, tmp_path / "log")
    until(lambda: "pip" in (tmp_path / "calls").read_text() if (tmp_path / "calls").exists() else False)
    first.set()
    until(lambda: of_first, seconds=1)
    assert isinstance(of_first[0], WaitCancelledError)
    assert not of_second
    (tmp_path / "go").touch()
    until(lambda: of_second)
    assert isinstance(of_second[0], Interpreter)


def test_a_build_that_nobody_waits_for_is_ended_and_leaves_nothing(
    environments: JobEnvironments, fake: Callable[[str], Path], tmp_path: Path
) -> None:
    fake("sleep 977.125")
    cancelled, results = waiting(environments, tmp_path / "log")
    until(lambda: alive("sleep 977.125"))
    cancelled.set()
    until(lambda: results and not alive("sleep 977.125"))
    until(lambda: not list((tmp_path / "environments").iterdir()))
    fake("true")
    assert environments.prepare(conda("a"), tmp_path / "log", NEVER).is_built


def test_closing_ends_the_builds(environments: JobEnvironments, fake: Callable[[str], Path], tmp_path: Path) -> None:
    fake("sleep 976.125")
    _, results = waiting(environments, tmp_path / "log")
    until(lambda: alive("sleep 976.125"))
    environments.close()
    assert not alive("sleep 976.125")
    until(lambda: results)
    assert 'the build of environment "mine:1" was ended' in str(results[0])


def test_a_build_whose_workspace_was_killed_is_not_taken_for_complete(
    environments: JobEnvironments, fake: Callable[[str], Path], groups: Groups, tmp_path: Path
) -> None:
    fake("sleep 975.125")
    script = f"""
import sys, threading
from dataclasses import replace
from pathlib import Path
from azureml_local import job_environments
from azureml_local.processes import Groups
from azureml_local.spec import Environment
fake = replace(job_environments.OWN, executable=Path({str(tmp_path / "fake-python")!r}))
job_environments.find_python = lambda wanted: fake
folder = Path({str(tmp_path)!r})
environments = job_environments.JobEnvironments(folder / "environments", Groups(), build=True)
environments.prepare(Environment(name="mine:1", conda={conda("a").conda!r}), folder / "log", threading.Event())
"""
    workspace = subprocess.Popen([sys.executable, "-c", script])
    until(lambda: alive("sleep 975.125"))
    workspace.send_signal(signal.SIGKILL)
    workspace.wait()
    until(lambda: not alive("sleep 975.125"))
    [left] = (tmp_path / "environments").iterdir()
    fake("true")
    assert environments.prepare(conda("a"), tmp_path / "log", NEVER).python.is_file()
    assert not left.exists()


def test_an_environment_whose_python_is_gone_is_built_again(
    environments: JobEnvironments, fake: Callable[[str], Path], tmp_path: Path
) -> None:
    calls = fake()
    environments.prepare(conda("a"), tmp_path / "log", NEVER).python.unlink()
    assert environments.prepare(conda("a"), tmp_path / "log", NEVER).python.is_file()
    assert calls.read_text() == "venv\npip\n" * 2


def test_what_a_job_writes_never_reaches_a_shell_or_pips_arguments(
    environments: JobEnvironments, fake: Callable[[str], Path], tmp_path: Path
) -> None:
    fake(f'printf "%s\\n" "$@" > {tmp_path}/arguments')
    text = f"a @ https://a.example/$(touch${{IFS}}{tmp_path}/broken);touch{tmp_path}/broken"
    environments.prepare(conda({"pip": [text]}), tmp_path / "log", NEVER)
    assert not (tmp_path / "broken").exists()
    assert "a.example" not in (tmp_path / "arguments").read_text()


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


def test_the_pip_that_is_asked_for_installs_the_rest(
    environments: JobEnvironments, fake: Callable[[str], Path], tmp_path: Path
) -> None:
    fake()
    environments.prepare(conda("pip=20.2", "pipdeptree", {"pip": ["--pre", "a"]}), tmp_path / "log", NEVER)
    log = (tmp_path / "log").read_text()
    assert log.index("pip reads --pre\npip==20.2.*\n") < log.index("pip reads --pre\na\npip==20.2.*\npipdeptree\n")


def test_an_image_of_python_alone_is_an_empty_environment(
    environments: JobEnvironments, fake: Callable[[str], Path], tmp_path: Path
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
    environments: JobEnvironments, fake: Callable[[str], Path], tmp_path: Path
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
