"""Paths that the system refuses: one sentence, and no stack."""

from pathlib import Path

import pytest

from azureml_local import cli, disk
from azureml_local.home import HOME_VARIABLE, Home

LONG = "a" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", LONG],
        ["config", LONG],
        ["status", "--home", f"/tmp/{LONG}"],
        ["deploy", LONG],
        ["invoke", "paint", "--request-file", LONG],
    ],
)
def test_a_path_that_is_too_long_is_one_sentence(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("azureml-local: ")
    assert said.endswith(": File name too long.\n")


@pytest.mark.parametrize("part", ["reuse", None])
def test_what_cannot_be_deleted_is_said(
    part: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    home = Home(tmp_path)
    (home.path / "reuse").mkdir()
    home.secret.write_text("secret")

    def rmtree(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", "a.txt")

    monkeypatch.setattr(disk.shutil, "rmtree", rmtree)
    only = ["--only", part] if part else []
    assert cli.main(["reset", "--yes", "--home", str(tmp_path), *only]) == 2
    assert capsys.readouterr().err == (
        f'azureml-local: Not all of {tmp_path}/reuse could be deleted: Permission denied, "a.txt"; make it writable, '
        f"as `chmod -R u+w {tmp_path}/reuse` does, and try again.\n"
    )
    assert home.secret.exists()


def test_a_request_without_end_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("azureml_local.invoke_command.LARGEST", 1000)
    assert cli.main(["invoke", "paint", "--request-file", "/dev/zero", "--home", str(tmp_path / "home")]) == 2
    assert capsys.readouterr().err == (
        "azureml-local: /dev/zero has more than 1,000 bytes; send the texts in several requests.\n"
    )
