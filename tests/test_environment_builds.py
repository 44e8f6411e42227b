"""Builds of environments: each once, beside each other, and gone when nobody waits for them."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from azureml_local.environments.job_environments import (
    Interpreter,
    JobEnvironmentError,
    JobEnvironments,
    WaitCancelledError,
)
from azureml_local.processes import Groups
from small_environments import NEVER, conda
from small_pipelines import alive, until


def test_what_pip_cannot_install_is_told_with_the_end_of_its_log(
    environments: JobEnvironments, fake: Callable[..., Path], tmp_path: Path
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
    environments: JobEnvironments, fake: Callable[..., Path], groups: Groups, tmp_path: Path
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
    environments: JobEnvironments, fake: Callable[..., Path], tmp_path: Path
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
    environments: JobEnvironments, fake: Callable[..., Path], tmp_path: Path
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
    environments: JobEnvironments, fake: Callable[..., Path], tmp_path: Path
) -> None:
    fake("sleep 977.125")
    cancelled, results = waiting(environments, tmp_path / "log")
    until(lambda: alive("sleep 977.125"))
    cancelled.set()
    until(lambda: results and not alive("sleep 977.125"))
    until(lambda: not list((tmp_path / "environments").iterdir()))
    fake("true")
    assert environments.prepare(conda("a"), tmp_path / "log", NEVER).is_built


def test_closing_ends_the_builds(environments: JobEnvironments, fake: Callable[..., Path], tmp_path: Path) -> None:
    fake("sleep 976.125")
    _, results = waiting(environments, tmp_path / "log")
    until(lambda: alive("sleep 976.125"))
    environments.close()
    assert not alive("sleep 976.125")
    until(lambda: results)
    assert 'the build of environment "mine:1" was ended' in str(results[0])


def test_a_build_whose_workspace_was_killed_is_not_taken_for_complete(
    environments: JobEnvironments, fake: Callable[..., Path], groups: Groups, tmp_path: Path
) -> None:
    fake("sleep 975.125")
    script = f"""
import sys, threading
from dataclasses import replace
from pathlib import Path
from azureml_local.environments import job_environments
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
    environments: JobEnvironments, fake: Callable[..., Path], tmp_path: Path
) -> None:
    calls = fake()
    environments.prepare(conda("a"), tmp_path / "log", NEVER).python.unlink()
    assert environments.prepare(conda("a"), tmp_path / "log", NEVER).python.is_file()
    assert calls.read_text() == "venv\npip\n" * 2


def test_what_a_job_writes_never_reaches_a_shell_or_pips_arguments(
    environments: JobEnvironments, fake: Callable[..., Path], tmp_path: Path
) -> None:
    fake(f'printf "%s\\n" "$@" > {tmp_path}/arguments')
    text = f"a @ https://a.example/$(touch${{IFS}}{tmp_path}/broken);touch{tmp_path}/broken"
    environments.prepare(conda({"pip": [text]}), tmp_path / "log", NEVER)
    assert not (tmp_path / "broken").exists()
    assert "a.example" not in (tmp_path / "arguments").read_text()


def test_the_pip_that_is_asked_for_installs_the_rest(
    environments: JobEnvironments, fake: Callable[..., Path], tmp_path: Path
) -> None:
    fake()
    environments.prepare(conda("pip=20.2", "pipdeptree", {"pip": ["--pre", "a"]}), tmp_path / "log", NEVER)
    log = (tmp_path / "log").read_text()
    assert log.index("pip reads --pre\npip==20.2.*\n") < log.index("pip reads --pre\na\npip==20.2.*\npipdeptree\n")


def test_a_secret_in_an_index_is_not_in_the_log(
    environments: JobEnvironments, fake: Callable[..., Path], tmp_path: Path
) -> None:
    fake()
    line = "--index-url https://user:sesame@a.example/simple"
    environments.prepare(conda({"pip": [line, "a"]}), tmp_path / "job.log", NEVER)
    assert "\n--index-url https://***@a.example/simple\na\n" in (tmp_path / "job.log").read_text()
