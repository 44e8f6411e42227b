"""Blob containers as folders."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azureml_local.blobs import BLOBSTORE, BlobPathError, Blobs
from azureml_local.store import Store


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("home")
    store = Store(home / "workspace.db")
    yield Blobs(home / "blobs", store)
    store.close()


def write(blobs: Blobs, name: str, text: str = "text") -> Path:
    file = blobs.path(BLOBSTORE, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@given(st.lists(st.sampled_from(["..", ".", "a", "", "%2e%2e", "b\\..", "~", "secret"]), max_size=6).map("/".join))
def test_no_name_leads_out_of_its_container(blobs: Blobs, name: str):
    try:
        path = blobs.path(BLOBSTORE, name)
    except BlobPathError:
        return
    assert path.resolve().is_relative_to(blobs.root / BLOBSTORE)


@pytest.mark.parametrize("name", ["../secret", "a/../../x", "/etc/passwd", "a\0b", "..", "a\\..\\b"])
def test_a_name_that_climbs_is_refused(blobs: Blobs, name: str):
    with pytest.raises(BlobPathError):
        blobs.path(BLOBSTORE, name)


def test_a_link_out_of_the_workspace_is_not_followed(blobs: Blobs, tmp_path: Path):
    (tmp_path / "private.txt").write_text("private")
    (blobs.root / BLOBSTORE / "exit").symlink_to(tmp_path)
    with pytest.raises(BlobPathError, match="leads out"):
        blobs.path(BLOBSTORE, "exit/private.txt")
    (blobs.root / BLOBSTORE / "exit").unlink()


def test_only_the_workspaces_containers_are_there(blobs: Blobs):
    with pytest.raises(BlobPathError, match="no blob container"):
        blobs.path(".staging", "x")


def test_names_are_listed_by_prefix(blobs: Blobs):
    for name in ("list/model/a.txt", "list/model/deep/b.txt", "list/model2/c.txt", "list/mod"):
        write(blobs, name)
    assert [name for name, _ in blobs.find(BLOBSTORE, "list/model/")] == ["list/model/a.txt", "list/model/deep/b.txt"]
    assert [name for name, _ in blobs.find(BLOBSTORE, "list/mod")] == [
        "list/mod",
        "list/model/a.txt",
        "list/model/deep/b.txt",
        "list/model2/c.txt",
    ]
    assert list(blobs.find(BLOBSTORE, "nowhere/")) == []


def test_a_linked_output_is_listed_as_a_folder_and_a_circle_ends(blobs: Blobs):
    output = blobs.root.parent / "jobs" / "one" / "outputs" / "student"
    output.mkdir(parents=True)
    (output / "config.json").write_text("{}")
    (output / "round").symlink_to(output)
    blobs.link(BLOBSTORE, "azureml/one/student", output)
    blobs.link(BLOBSTORE, "azureml/one/student", output)
    assert [name for name, _ in blobs.find(BLOBSTORE, "azureml/one/student/")] == ["azureml/one/student/config.json"]


def test_a_folder_and_a_link_to_it_are_both_listed(blobs: Blobs):
    write(blobs, "model/checkpoint-10/a", "1")
    (blobs.path(BLOBSTORE, "model") / "best").symlink_to("checkpoint-10")
    assert [name for name, _ in blobs.find(BLOBSTORE, "model/")] == ["model/best/a", "model/checkpoint-10/a"]


def test_many_links_to_one_file_or_folder_are_all_listed(blobs: Blobs):
    write(blobs, "many/base/a", "1")
    for number in range(150):
        (blobs.path(BLOBSTORE, "many") / f"file-{number}").symlink_to("base/a")
        (blobs.path(BLOBSTORE, "many") / f"folder-{number}").symlink_to("base")
    assert len(list(blobs.find(BLOBSTORE, "many/"))) == 301


def test_of_folders_that_all_link_to_each_other_some_paths_are_listed(
    blobs: Blobs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("azureml_local.blobs.MOST_NESTED", 50)
    folders = [write(blobs, f"all/{number}/a", "1").parent for number in range(9)]
    for folder in folders:
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    names = [name for name, _ in blobs.find(BLOBSTORE, "all/")]
    assert {f"all/{number}/a" for number in range(9)} | {"all/3/to-7/a"} <= set(names)
    assert len(names) == 9 * 9 + 50  # each has links to eight others and to itself
    assert "leaves out folders behind several links" in caplog.text


def test_what_a_job_wrote_at_its_default_place_stays_there(blobs: Blobs):
    file, folder = write(blobs, "azureml/two/table", "precious"), write(blobs, "azureml/two/model/a", "precious").parent
    elsewhere = blobs.root.parent / "jobs" / "two"
    elsewhere.mkdir(parents=True)
    for place in (file, folder):
        for target in (place, elsewhere):
            blobs.link(BLOBSTORE, f"azureml/two/{place.name}", target)
    assert [written.read_text() for _, written in blobs.find(BLOBSTORE, "azureml/two/")] == ["precious"] * 2
    assert not file.is_symlink()
    assert not folder.is_symlink()


def test_blocks_become_a_blob_in_the_order_of_the_list(blobs: Blobs):
    for block, text in (("one", "first "), ("two", "second ")):
        with blobs.scratch() as file:
            file.write_text(text)
            blobs.stage(BLOBSTORE, "large.bin", block, file)
    blobs.assemble(BLOBSTORE, "large.bin", ["two", "one"])
    assert blobs.path(BLOBSTORE, "large.bin").read_text() == "second first "
    with pytest.raises(KeyError):
        blobs.assemble(BLOBSTORE, "large.bin", ["two"])


def test_a_new_blob_does_not_inherit_metadata(blobs: Blobs):
    write(blobs, "upload.txt")
    blobs.set_metadata(BLOBSTORE, "upload.txt", {"upload_status": "completed"})
    assert blobs.metadata(BLOBSTORE, "upload.txt") == {"upload_status": "completed"}
    with blobs.scratch() as staged:
        staged.write_text("new")
        blobs.adopt(BLOBSTORE, "upload.txt", staged)
    assert blobs.metadata(BLOBSTORE, "upload.txt") == {}
