"""However a job ends, none of its processes is left, and the workspace tells the truth about it."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from azureml_local.connection import Addresses
from azureml_local.home import Home
from azureml_local.store import Resource, Store
from local_commands import azureml_local, command_line, job_of
from small_pipelines import alive, until

# One process that will not listen, one that has left for a session of its own, and one that waits for its turn.
COMMAND = "trap '' TERM; setsid sleep {mark}.25 & sleep {mark}.5 & sleep {mark}.75; wait"
PIPELINE = """
type: pipeline
experiment_name: endings
settings: {{default_compute: "azureml:cpu-cluster"}}
jobs:
  long:
    type: command
    command: {command}
    environment: {{image: any}}
    outputs: {{out: {{type: uri_folder}}}}
    limits: {{timeout: {timeout}}}
  after:
    type: command
    command: ls ${{{{inputs.data}}}}
    environment: {{image: any}}
    inputs: {{data: "${{{{parent.jobs.long.outputs.out}}}}"}}
"""


def job_file(folder: Path, mark: int, timeout: int = 600) -> Path:
    file = folder / "job.yml"
    command = COMMAND.format(mark=mark) + "; touch ${{outputs.out}}/x"
    file.write_text(PIPELINE.format(command=json.dumps(command), timeout=timeout))
    return file


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    up = azureml_local("up", home=home.path)
    assert up.returncode == 0, up.stderr
    yield home
    azureml_local("down", home=home.path)


def started(file: Path, home: Home, mark: int) -> str:
    """The name of a job whose processes run."""
    name = job_of(azureml_local("run", file, "--detach", home=home.path))
    until(lambda: len(alive(f"sleep {mark}.")) >= 3)
    return name


def runs(home: Home) -> dict[str, Resource]:
    store = Store(home.database)
    found = {run.body["node"]: run for run in store.all("runs")}
    store.close()
    return found


def submitted(home: Home) -> set[str]:
    store = Store(home.database)
    names = {job.name for job in store.all("jobs")}
    store.close()
    return names


def statuses(home: Home) -> dict[str, str]:
    return {node: run.body["status"] for node, run in runs(home).items() if node in ("long", "after")}


def test_kill_of_the_workspace(home: Home, tmp_path: Path) -> None:
    name = started(job_file(tmp_path, 976), home, 976)
    running = Addresses.read(home)
    assert running
    os.kill(running.pid, signal.SIGKILL)
    until(lambda: not alive("sleep 976."))
    assert "jobs           1 interrupted\n" in azureml_local("status", home=home.path).stdout
    assert azureml_local("up", home=home.path).returncode == 0
    assert statuses(home) == {"long": "Failed", "after": "Canceled"}
    assert runs(home)[name].body["status"] == "Failed"
    assert "the local workspace was stopped while this job ran" in runs(home)["long"].body["error"]
    watched = azureml_local("watch", name, home=home.path)
    assert watched.returncode == 1
    assert f"{name}: Failed" in watched.stdout


def test_end_of_the_workspace(home: Home, tmp_path: Path) -> None:
    name = started(job_file(tmp_path, 975), home, 975)
    down = azureml_local("down", home=home.path).stdout
    assert down == f"The workspace at {home.path} is down.\nWhat ran in it has ended: {name}.\n"
    assert not alive("sleep 975.")
    assert statuses(home) == {"long": "Canceled", "after": "Canceled"}
    assert "the local workspace was ended" in runs(home)[name].body["error"]


def test_a_job_that_is_cancelled_from_another_terminal(home: Home, tmp_path: Path) -> None:
    name = started(job_file(tmp_path, 972), home, 972)
    node = runs(home)["long"].name
    refused = azureml_local("cancel", node, home=home.path)
    assert refused.returncode == 2
    assert f"{node} is a node of the job {name}: cancel that job" in refused.stderr
    assert f"active job     {name} ({name}) Running\n" in azureml_local("status", home=home.path).stdout
    cancelled = azureml_local("cancel", name, home=home.path)
    assert cancelled.returncode == 0, cancelled.stderr
    assert cancelled.stdout.splitlines()[-1].startswith(f"{name}: Canceled after")
    assert not alive("sleep 972.")
    assert statuses(home) == {"long": "Canceled", "after": "Canceled"}
    assert "active job" not in azureml_local("status", home=home.path).stdout
    again = azureml_local("cancel", name, home=home.path)
    assert (again.returncode, again.stderr) == (
        2,
        f"azureml-local: The job {name} has ended already: it is Canceled.\n",
    )


def test_a_limit_of_time(home: Home, tmp_path: Path) -> None:
    run = azureml_local("run", job_file(tmp_path, 974, timeout=1), home=home.path)
    assert run.returncode == 1
    assert "it took longer than its limit of 1 s (limits.timeout) and was ended" in run.stdout
    assert not alive("sleep 974.")
    assert statuses(home) == {"long": "Failed", "after": "Canceled"}


def in_a_terminal_of_its_own(*arguments: object, home: Home) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command_line(*arguments, home=home.path),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where the tests run in background
    )


def test_control_c(home: Home, tmp_path: Path) -> None:
    run = in_a_terminal_of_its_own("run", job_file(tmp_path, 973), home=home)
    until(lambda: len(alive("sleep 973.")) >= 3, seconds=60)
    name = next(iter(submitted(home)))
    watch = in_a_terminal_of_its_own("watch", name, home=home)
    assert watch.stdout
    assert watch.stdout.readline() == "long: Running\n"
    os.killpg(watch.pid, signal.SIGINT)
    output, _ = watch.communicate(timeout=60)
    end = f"azureml-local cancel {name} --home {home.path}"
    assert watch.returncode == 130
    assert output.endswith(f"{name} goes on without being watched; `{end}` ends it.\n")
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Cancelling" in output
    assert not alive("sleep 973.")
    assert statuses(home) == {"long": "Canceled", "after": "Canceled"}


def test_what_a_job_has_not_written_is_not_registered_and_the_rest_is(home: Home, tmp_path: Path):
    outputs = "outputs: {one: {type: uri_file}, two: {type: uri_folder}}"
    command = json.dumps("echo ${{outputs.one}} > ${{outputs.two}}/a")
    file = tmp_path / "job.yml"
    file.write_text(f"{{type: command, name: left, command: {command}, environment: {{image: any}}, {outputs}}}\n")
    run = azureml_local("run", file, "--register", "one=first", "--register", "two=second", home=home.path)
    assert "The output two is registered as azureml:second:1" in run.stdout
    assert (run.returncode, run.stderr) == (
        2,
        'azureml-local: left has completed without writing the output "one": there is nothing to register.\n',
    )
