"""`azureml-local check`, as a person, an editor or `run` calls it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from azureml_local import cli
from azureml_local.checks import check_file
from conftest import ROOT

STEP = "type: command\nenvironment: azureml:a:1\ncommand: say ${{inputs.x}}\ninputs: {x: a b}\n"
SPLIT = 'the command reads "x" without quotes, and its value "a b" is not one word to a shell; write "${{inputs.x}}"'


def test_our_own_files_are_fine(capsys: pytest.CaptureFixture[str]):
    folders = [str(ROOT / name) for name in ("components", "pipelines", "endpoints", "environments")]
    assert cli.main(["check", *folders]) == 0
    assert re.fullmatch(r"0 errors, 0 warnings in \d+ files\n", capsys.readouterr().out)


def test_it_prints_what_compilers_print_and_warnings_fail_only_when_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "step.yml").write_text(STEP)
    (tmp_path / "notes.yml").write_text("- nothing of Azure's\n")
    assert cli.main(["check", str(tmp_path)]) == 0
    line = f"{tmp_path}/step.yml:3: warning: {SPLIT} [unquoted-string]"
    assert capsys.readouterr() == (f"{line}\n0 errors, 1 warning in 1 file\n", "")
    assert cli.main(["check", str(tmp_path), "--strict"]) == 1


def test_editors_get_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "step.yml").write_text("type: command\ncommand: ls\n")
    assert cli.main(["check", str(tmp_path / "step.yml"), "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "file": f"{tmp_path}/step.yml",
            "line": 1,
            "severity": "error",
            "rule": "missing-field",
            "message": 'a command job needs "environment"',
        }
    ]


def test_a_file_of_another_kind_is_said_to_be_left_out_and_a_missing_one_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "notes.yml").write_text("- nothing of Azure's\n")
    assert cli.main(["check", str(tmp_path / "notes.yml")]) == 0
    printed = capsys.readouterr()
    assert printed.out == "0 errors, 0 warnings in 0 files\n"
    assert printed.err.startswith(f"{tmp_path}/notes.yml: not checked")
    assert cli.main(["check", str(tmp_path / "absent.yml")]) == 2
    assert capsys.readouterr().err == f"azureml-local: There is no file or folder {tmp_path}/absent.yml.\n"


def test_a_folder_without_any_file_of_azures_is_most_likely_the_wrong_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    full.mkdir()
    (empty / "notes.yml").write_text("command: nothing of Azure's\n")
    (full / "step.yml").write_text(STEP)
    assert cli.main(["check", str(empty), str(full), str(full / "step.yml")]) == 1
    printed = capsys.readouterr()
    assert printed.out.endswith("0 errors, 1 warning in 1 file\n")
    assert printed.err == f"azureml-local: {empty}: no file of Azure ML's is in this folder or below it.\n"


def test_check_waits_for_none_of_the_large_libraries():
    script = "import sys; from azureml_local import cli; cli.main(['check', 'components']); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60)
    modules = set(run.stdout.split())
    assert "azureml_local.checks" in modules
    assert not {"azure.ai.ml", "mlflow", "torch", "fastapi", "httpx", "rich"} & modules


def test_a_run_is_refused_before_anything_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = ROOT / "pipelines" / "quickstart.yml"
    home = tmp_path / "home"
    status = cli.main(["run", str(file), "--set", "inputs.seed=many", "--home", str(home)])
    assert status == 2
    assert capsys.readouterr().err == (
        f'{file}: error: --set inputs.seed: node "preprocess" takes an integer as "seed", got "many" [wrong-literal]\n'
        f"azureml-local: {file} was not run: see the errors above.\n"
    )
    assert not home.exists()


@pytest.mark.parametrize(("path", "hint"), [("/nope/x", ""), ("nope/x", "; the path is relative to this file")])
def test_a_path_given_by_set_is_told_as_such(path: str, hint: str, tmp_path: Path):
    data = "inputs: {data: {type: uri_file, path: azureml:data:1}}"
    (tmp_path / "job.yml").write_text(f"type: command\nenvironment: azureml:a:1\ncommand: ls\n{data}\n")
    found = check_file(tmp_path / "job.yml", [{"inputs.data.path": path}])
    said = f"{tmp_path}/job.yml: error: --set inputs.data.path: there is no file or folder {tmp_path / path}{hint}"
    assert str(found[0]) == f"{said} [missing-file]"
