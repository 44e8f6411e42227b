import json
from pathlib import Path

import pytest

from azureml_local.cli import main


def test_the_file_is_written_where_the_sdk_looks_and_may_be_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    for _ in range(2):
        assert main(["config", str(tmp_path)]) == 0
    file = tmp_path / ".azureml" / "config.json"
    assert capsys.readouterr().out.splitlines() == [str(file)] * 2
    assert json.loads(file.read_text()) == {
        "subscription_id": "00000000-0000-0000-0000-000000000000",
        "resource_group": "local",
        "workspace_name": "local",
    }


@pytest.mark.parametrize("content", ['{"workspace_name": "production"}', "{", ""])
def test_the_file_of_another_workspace_is_left_alone(content: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    file = tmp_path / ".azureml" / "config.json"
    file.parent.mkdir()
    file.write_text(content)
    assert main(["config", str(tmp_path)]) == 2
    assert "names another workspace; move it away" in capsys.readouterr().err
    assert file.read_text() == content


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["config", str(tmp_path / "nothing")]) == 2
    (tmp_path / ".azureml").write_text("a file")
    assert main(["config", str(tmp_path)]) == 2
    nothing, file = capsys.readouterr().err.splitlines()
    assert nothing.startswith("azureml-local: there is no folder")
    assert "cannot be written" in file
