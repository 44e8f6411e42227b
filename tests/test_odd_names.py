"""Files whose names no address or no list can hold."""

import os
from xml.etree import ElementTree

from azureml_local.blobs import ARTIFACTS, Blobs
from azureml_local.job_view import list_output
from test_rest import client_of, open_workspace


def test_what_a_job_removes_while_it_is_listed_is_left_out(tmp_path, monkeypatch):
    workspace = open_workspace(tmp_path / "local")
    folder = workspace.home.blobs / ARTIFACTS / "made"
    folder.mkdir()
    (folder / "there.txt").write_text("there")
    find = Blobs.find

    def find_and_remove(self, container, prefix):
        found = list(find(self, container, prefix))
        return [*found, ("made/gone.txt", folder / "gone.txt")]

    monkeypatch.setattr(Blobs, "find", find_and_remove)
    listed = client_of(workspace).get(f"/blob/{ARTIFACTS}?comp=list&prefix=made/")
    assert listed.status_code == 200
    assert [name.text for name in ElementTree.fromstring(listed.content).iter("Name")] == ["made/there.txt"]
    workspace.close()


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
