"""Files whose names no address or no list can hold."""

import os
from xml.etree import ElementTree

from azureml_local.blobs import ARTIFACTS
from azureml_local.job_view import list_output
from test_rest import client_of, open_workspace


def test_a_file_whose_name_cannot_be_sent_hides_no_other(tmp_path):
    workspace = open_workspace(tmp_path / "local")
    folder = workspace.home.blobs / ARTIFACTS / "odd"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("odd")
    for name in ("caf\u00e9.txt", "a\x01.txt", "a\r.txt", "a\uffff.txt", "a\\b.txt"):
        (folder / name).write_text("good")
    (folder / "deep\x1b").mkdir()
    (folder / "deep\x1b" / "a.txt").write_text("odd")
    for delimiter in ("", "/"):
        listed = client_of(workspace).get(f"/blob/{ARTIFACTS}?comp=list&prefix=odd/&delimiter={delimiter}").content
        assert [name.text for name in ElementTree.fromstring(listed).iter("Name")] == ["odd/caf\u00e9.txt"]
    names = [entry["name"] for entry in list_output(folder, "")["entries"]]
    assert {"caf\u00e9.txt", "caf\ufffd.txt", "a\x01.txt"} < set(names)
    workspace.close()
