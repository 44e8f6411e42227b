"""Files whose names no address can hold."""

import os

from azureml_local.blobs import ARTIFACTS
from azureml_local.job_view import list_output
from test_rest import client_of, open_workspace


def test_a_file_whose_name_is_not_utf_8_hides_no_other(tmp_path):
    workspace = open_workspace(tmp_path / "local")
    folder = workspace.home.blobs / ARTIFACTS / "odd"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("odd")
    (folder / "caf\u00e9.txt").write_text("good")
    listed = client_of(workspace).get(f"/blob/{ARTIFACTS}?comp=list&prefix=odd/").text
    assert (listed.count("<Name>"), "odd/caf\u00e9.txt" in listed) == (1, True)
    entries = list_output(folder, "")["entries"]
    assert sorted(entry["name"] for entry in entries) == ["caf\u00e9.txt", "caf\ufffd.txt"]
    workspace.close()
