"""The command line of the local workspace, as a person or a script uses it."""

import json
import os
import shutil
import signal
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from azureml_local import cli, launcher, workspace_commands
from azureml_local.client import sdk_call
from azureml_local.connection import CLIENT_VARIABLES, Addresses
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.invoke_command import MODEL_STATUS, listing, refusal
from local_commands import azureml_local, job_of, on_a_terminal
from local_project import write_project

DOWN = "No workspace is up at {home}; start it with `azureml-local up --home {home}`."


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("cli"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory):
    """The folder of a workspace that is up."""
    home = tmp_path_factory.mktemp("up") / "home"
    up = azureml_local("up", home=home)
    assert up.returncode == 0, up.stderr
    yield home
    azureml_local("down", home=home)


def test_up_answers_env_points_at_it_and_a_second_up_finds_it(home: Path):
    again = azureml_local("up", home=home)
    assert "was already up" in again.stdout
    exports = azureml_local("env", home=home).stdout
    for name in CLIENT_VARIABLES:
        assert f"export {name}=" in exports
    assert exports.count("AzureLocal") == 1
    assert str(Addresses.read(Home(home)).port) in azureml_local("status", home=home).stdout


@pytest.mark.parametrize("reference", ["azureml:greetings@latest", "azureml:greetings:7"])
def test_a_model_that_is_not_registered_is_told_before_an_endpoint_is_created(
    reference: str, home: Path, project: Path, tmp_path: Path
):
    shutil.copytree(project / "endpoint", tmp_path, dirs_exist_ok=True)
    text = (tmp_path / "deployment.yml").read_text()
    (tmp_path / "deployment.yml").write_text(text.replace("azureml:greetings@latest", reference))
    deploy = azureml_local("deploy", tmp_path, home=home)
    name = reference.removeprefix("azureml:")
    assert deploy.stderr == (
        f'azureml-local: The workspace has no model "{name}": register an output of a job as one with '
        "`azureml-local run FILE --register OUTPUT=greetings`, or give its folder with --model.\n"
    )
    assert "endpoint" not in azureml_local("status", home=home).stdout


def test_a_pipeline_runs_is_registered_deployed_and_invoked(home: Path, project: Path):
    run = azureml_local(
        *("run", project / "pipeline.yml", "--set", "inputs.text=hey", "--set", "jobs.greet.inputs.times=2"),
        *("--register", "model=greetings"),
        home=home,
    )
    assert run.returncode == 0, run.stderr
    assert "pack: Completed after" in run.stdout
    assert "azureml:greetings:1" in run.stdout
    output = next(line for line in run.stdout.splitlines() if line.startswith("output  model: "))
    assert (Path(output.removeprefix("output  model: ")) / "greeting.txt").read_text() == "heyhey"

    deploy = azureml_local("deploy", project / "endpoint", home=home)
    assert deploy.returncode == 0, deploy.stderr
    invoke = azureml_local("invoke", "greeter", "--text", "you", "--text", "me", home=home)
    assert json.loads(invoke.stdout) == ["heyhey you", "heyhey me"]
    shown = on_a_terminal("invoke", "greeter", "--text", "[you] there", "--text", "me", home=home)
    assert [line.split() for line in shown.splitlines()] == [
        ["[you]", "there", "heyhey", "[you]", "there"],
        ["me", "heyhey", "me"],
    ]
    assert run.stderr + deploy.stderr + invoke.stderr == ""
    unknown = azureml_local("invoke", "greater", "--text", "you", home=home).stderr
    assert unknown.startswith('azureml-local: The workspace has no endpoint "greater"; it has greeter.')
    served = f"greeter (blue 100 % Succeeded) {Addresses.read(Home(home)).url}/score/greeter"
    assert f"endpoint       {served}\n" in azureml_local("status", home=home).stdout

    folder = project / "model"
    folder.mkdir()
    (folder / "greeting.txt").write_text("ahoy")
    deploy = azureml_local("deploy", project / "endpoint", "--model", folder, home=home)
    assert deploy.returncode == 0, deploy.stderr
    (project / "request.json").write_text('{"input_data": ["all"]}')
    invoke = azureml_local("invoke", "greeter", "--request-file", project / "request.json", home=home)
    assert json.loads(invoke.stdout) == ["ahoy all"]
    (project / "request.json").write_text('{"inputs": []}')
    invoke = azureml_local("invoke", "greeter", "--request-file", project / "request.json", home=home)
    assert (invoke.returncode, invoke.stdout) == (2, "")
    assert invoke.stderr.startswith('azureml-local: "greeter" answered with status 500: An unexpected error')


def test_a_run_without_a_workspace_starts_one_fails_with_the_log_and_leaves_nothing_up(project: Path, tmp_path: Path):
    run = azureml_local("run", project / "failing.yml", home=tmp_path / "home")
    assert run.returncode == 1
    assert "the reason" in run.stdout
    assert "Failed" in run.stdout
    logs = next(line for line in run.stdout.splitlines() if line.startswith("logs "))
    assert (Path(logs.removeprefix("logs").strip()) / "std_log.txt").read_text() == "the reason\n"
    assert Addresses.read(Home(tmp_path / "home")) is None


def test_a_workspace_that_was_killed_is_recognised_and_started_again(tmp_path: Path):
    home = Home(tmp_path / "home")
    azureml_local("up", home=home.path)
    os.kill(Addresses.read(home).pid, signal.SIGKILL)
    assert home.state.exists()
    status = azureml_local("status", home=home.path)
    assert (status.returncode, status.stdout.splitlines()[0]) == (1, f"No workspace is up at {home.path}.")
    assert "is up" in azureml_local("up", home=home.path).stdout
    assert "is down" in azureml_local("down", home=home.path).stdout
    assert "was not up" in azureml_local("down", home=home.path).stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["env"], DOWN),
        (["invoke", "greeter", "--text", "a"], DOWN),
        (["run", "{home}/absent.yml"], "Cannot read {home}/absent.yml: No such file or directory."),
        (["run", "{broken}"], "{broken}:2: not valid YAML: expected the node content, but found '<stream end>'."),
        (["run", "{list}"], "{list} is not a mapping of fields, it is ['a', 'b']."),
        (["run", "{null}"], '{null}: "jobs" is not a mapping of names, it is empty.'),
        (["run", "{three}"], '{three}: "jobs.a" is not a mapping of fields, it is 3.'),
        (["run", "{deep}"], "{deep} is nested too deeply."),
        (["invoke", "greeter", "--request-file", "{deep}"], "{deep} is nested too deeply."),
        (
            ["run", "{named}", "--register", "model=bad name/.."],
            '--register model=bad name/..: "bad name/.." cannot be a model\'s name: it takes up to 255 letters, '
            'digits, "-", "_" and ".", and begins with a letter or a digit.',
        ),
        (["deploy", "{home}"], "Cannot read {home}/endpoint.yml: No such file or directory."),
    ],
)
@pytest.mark.usefixtures("no_garbage_collection")
def test_a_mistake_is_one_sentence_without_a_stack(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    files = {
        "broken": "jobs: [\n",
        "list": "- a\n- b\n",
        "null": "jobs:\n",
        "three": "jobs: {a: 3}\n",
        "deep": "[" * 100_000 + "]" * 100_000,
        "named": "outputs: {model: {type: custom_model}}\n",
    }
    names = {"home": tmp_path / "home"} | {name: tmp_path / f"{name}.yml" for name in files}
    for name, text in files.items():
        names[name].write_text(text)
    status = cli.main([*(argument.format_map(names) for argument in arguments), "--home", str(names["home"])])
    assert status == 2
    assert capsys.readouterr().err == f"azureml-local: {expected.format_map(names)}\n"
    assert not names["home"].exists()


def test_a_detached_job_is_watched_later_and_everything_is_deleted_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    job, home = tmp_path / "job.yml", tmp_path / "home"
    job.write_text("{type: command, command: 'echo done', environment: {image: any}}\n")
    run = azureml_local("run", job, "--detach", "--max-parallel", 3, home=home)
    name = job_of(run)
    assert run.stdout.splitlines()[-1] == f"Follow it with: azureml-local watch {name} --home {home}"
    watched = azureml_local("watch", name, home=home)
    assert watched.stdout.splitlines()[-1].startswith(f"{name}: Completed after")
    unknown = azureml_local("watch", "nobody", home=home)
    assert (unknown.returncode, unknown.stderr) == (2, f"azureml-local: The workspace at {home} has no job nobody.\n")
    status = azureml_local("status", home=home).stdout
    assert "settings       --max-parallel 3\n" in status
    assert "jobs           1 Completed\n" in status
    other = azureml_local("up", "--max-parallel", 4, home=home)
    assert other.returncode == 2
    assert "up already with --max-parallel 3, and --max-parallel 4 is asked for" in other.stderr
    assert "say --yes" in azureml_local("reset", home=home).stderr
    monkeypatch.setattr(workspace_commands, "_agreed", lambda question: False)
    assert cli.main(["reset", "--home", str(home)]) == 1
    assert capsys.readouterr().out == "Nothing was deleted.\n"
    only = azureml_local("reset", "--only", "reuse", "--yes", home=home)
    assert (only.returncode, only.stdout.splitlines()[-1]) == (
        0,
        f"The workspace was ended for it; `azureml-local up --home {home}` starts it again.",
    )
    assert home.exists()
    assert "Deleted everything" in azureml_local("reset", "--yes", home=home).stdout
    assert not home.exists()


def test_a_run_leaves_a_workspace_up_that_others_need_and_takes_no_name_that_is_known(tmp_path: Path):
    job, home = tmp_path / "job.yml", tmp_path / "home"
    job.write_text("{type: command, name: known, command: 'echo done', environment: {image: any}}\n")
    with launcher.in_use(Home(home)):
        run = azureml_local("run", job, home=home)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1].startswith("The workspace stays up, for something else needs it")
    again = azureml_local("run", job, home=home)
    assert (again.returncode, again.stderr) == (
        2,
        f"azureml-local: {job}: the workspace has a job known already; give another name, or none.\n",
    )
    job.write_text("{type: command, command: 'sleep 300', environment: {image: any}}\n")
    assert azureml_local("run", job, "--detach", home=home).returncode == 0
    refused = azureml_local("reset", "--only", "reuse", "--yes", home=home)
    assert refused.returncode == 2
    assert f"A job runs in the workspace at {home}, and to delete the reuse ends the workspace" in refused.stderr
    assert "is down" in azureml_local("down", home=home).stdout


def test_what_is_asked_to_be_up_stays_up(tmp_path: Path):
    home = Home(tmp_path)
    with launcher.in_use(home):
        assert not launcher.is_kept(home)
        assert "is up" in azureml_local("up", home=tmp_path).stdout
        assert launcher.is_kept(home)
        azureml_local("down", home=tmp_path)


def test_only_a_workspaces_own_files_are_deleted(tmp_path: Path):
    assert "There is no workspace" in azureml_local("reset", "--yes", home=tmp_path).stdout
    azureml_local("up", home=tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    azureml_local("reset", "--yes", home=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_home_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        cli.main(["status", "--home", ""])
    assert end.value.code == 2
    assert "argument --home: got an empty text; leave the option out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["deploy", ".", "--model", ""], "argument --model: got an empty text"),
        (["invoke", "", "--text", "a"], 'argument ENDPOINT: "" is no such name'),
        (["invoke", "a/b", "--text", "a"], 'argument ENDPOINT: "a/b" is no such name: 3 to 32 letters'),
        (["invoke", "greeter", "--deployment", "", "--text", "a"], 'argument --deployment: "" is no such name'),
        (["invoke", "greeter", "--deployment", "bl\u00e4u", "--text", "a"], 'argument --deployment: "bl\u00e4u" is no'),
    ],
)
def test_a_name_that_cannot_be_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_any_failure_of_the_sdk_is_one_line():
    with pytest.raises(InputError) as failure, sdk_call("load job.yml"):
        raise AttributeError("'int' object\nhas no attribute 'get'")
    expected = "the SDK failed with AttributeError: 'int' object has no attribute 'get'"
    assert str(failure.value) == f"Could not load job.yml: {expected}"


def test_answers_are_listed_only_where_each_belongs_to_a_text():
    console = Console(width=60)
    with console.capture() as shown:
        console.print(listing('{"input_data": ["a [MASK].", "b"]}', '["word", {"score": 1}]'))
    assert [line.rstrip() for line in shown.get().splitlines()] == ["a [MASK].  word", 'b          {"score": 1}']
    for request, answer in [
        ('{"input_data": ["a", "b"]}', '["word"]'),
        ('{"input_data": ["a", "b"]}', '"ab"'),
        ('{"input_data": {"columns": ["a"]}}', '["word"]'),
        ('{"input_data": ["a"]}', "not JSON"),
        ('["a"]', '["word"]'),
    ]:
        assert listing(request, answer) is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (httpx.Response(400, json={"error": "no text"}), "status 400: no text"),
        (httpx.Response(404, json={"error": {"code": "NotFound", "message": "no one"}}), "status 404: no one"),
        (httpx.Response(424, text="too large", headers={MODEL_STATUS: "413"}), "status 413: too large"),
        (
            httpx.Response(424, json={"message": "it broke"}, headers={MODEL_STATUS: "500"}),
            "status 500: it broke\nIts log is in /home/deployments/greeter.",
        ),
    ],
)
def test_a_refused_request_is_told_in_the_words_of_who_refused_it(reply: httpx.Response, expected: str):
    assert refusal("greeter", reply, Home(Path("/home"))) == f'"greeter" answered with {expected}'
