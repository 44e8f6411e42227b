"""Uploads that meet each other, that break off, and that are refused."""

import asyncio
import errno
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from hashlib import md5
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from azureml_local.blobs import BLOBSTORE
from azureml_local.workspace import Workspace
from local_commands import azureml_local
from test_rest import BLOB, client_of, open_workspace

ONLY_NEW = {"If-None-Match": "*"}  # what the SDK sends for a file that it has not found
PARTS = {"one": b"first ", "two": b"second"}
JOB = """
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
type: command
command: cat ${{inputs.notes}}/*
inputs:
  notes: {type: uri_folder, path: notes}
environment: {image: "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"}
compute: azureml:any-cluster
"""
LIST = "<BlockList>" + "".join(f"<Latest>{block}</Latest>" for block in PARTS) + "</BlockList>"


@pytest.fixture
def workspace(tmp_path: Path):
    workspace = open_workspace(tmp_path / "local")
    yield workspace
    workspace.close()


@pytest.fixture
def client(workspace: Workspace) -> TestClient:
    """One that raises what the workspace does not answer as a refusal."""
    client = client_of(workspace)
    return TestClient(client.app, str(client.base_url), headers=dict(client.headers))


def staged(workspace: Workspace) -> list[Path]:
    return list((workspace.home.blobs / ".staging").iterdir())


def stage(client: TestClient, name: str, *blocks: str) -> None:
    for block in blocks:
        sent = client.put(f"{BLOB}/{name}?comp=block&blockid={block}", content=PARTS[block])
        assert sent.status_code == 201


def commit(client: TestClient, name: str, blocks: str = LIST, **headers: str) -> httpx.Response:
    return client.put(f"{BLOB}/{name}?comp=blocklist", content=blocks, headers=headers or ONLY_NEW)


def put_slowly(client: TestClient, url: str, content: Callable[[httpx.AsyncClient], AsyncIterator[bytes]]) -> int:
    """Send what arrives part by part; the status of the answer. content: may ask the workspace meanwhile."""

    async def put() -> int:
        transport = httpx.ASGITransport(client.app, raise_app_exceptions=False)
        headers = dict(client.headers)
        async with httpx.AsyncClient(transport=transport, base_url=str(client.base_url), headers=headers) as slow:
            return (await slow.put(url, content=content(slow))).status_code

    return asyncio.run(put())


@pytest.mark.parametrize("meanwhile", [["one", "two"], ["one"], []])
def test_two_clients_that_upload_the_same_blocks_both_succeed(client: TestClient, meanwhile: list[str]):
    stage(client, "same.bin", "one", "two")
    stage(client, "same.bin", *meanwhile)
    assert commit(client, "same.bin").status_code == 201
    stage(client, "same.bin", *(block for block in PARTS if block not in meanwhile))
    assert commit(client, "same.bin").status_code == 201
    assert client.get(f"{BLOB}/same.bin").content == b"first second"


def test_a_block_that_is_still_arriving_is_no_part_of_a_blob(workspace: Workspace, client: TestClient):
    async def second_client(slow: httpx.AsyncClient) -> AsyncIterator[bytes]:
        yield PARTS["two"][:3]
        assert (await slow.put(f"{BLOB}/slow.bin?comp=blocklist", content=LIST, headers=ONLY_NEW)).status_code == 201
        yield PARTS["two"][3:]

    stage(client, "slow.bin", "one", "two")
    assert put_slowly(client, f"{BLOB}/slow.bin?comp=block&blockid=two", second_client) == 201
    assert client.get(f"{BLOB}/slow.bin").content == b"first second"
    assert commit(client, "slow.bin").status_code == 201  # by the second client
    assert client.get(f"{BLOB}/slow.bin").content == b"first second"
    assert staged(workspace) == []


def test_a_large_blob_is_put_together_beside_the_loop_that_answers_others(
    workspace: Workspace, client: TestClient, monkeypatch: pytest.MonkeyPatch
):
    def beside(done: Callable) -> Callable:
        def call(*values: object) -> None:
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()
            done(*values)

        return call

    for name in ("assemble", "adopt"):
        monkeypatch.setattr(workspace.blobs, name, beside(getattr(workspace.blobs, name)))
    stage(client, "large.bin", "one", "two")
    assert commit(client, "large.bin").status_code == 201
    assert client.put(f"{BLOB}/whole.bin", content=b"text").status_code == 201


def test_blocks_do_not_replace_another_blob_that_is_there(client: TestClient):
    client.put(f"{BLOB}/there.bin", content=b"there")
    refused = commit(client, "there.bin")
    assert (refused.status_code, refused.headers["x-ms-error-code"]) == (409, "BlobAlreadyExists")
    stage(client, "there.bin", "one", "two")
    assert commit(client, "there.bin").status_code == 409
    assert client.get(f"{BLOB}/there.bin").content == b"there"
    assert commit(client, "there.bin", **{"x-ms-version": "2024-11-04"}).status_code == 201
    assert client.get(f"{BLOB}/there.bin").content == b"first second"


def test_a_list_with_unknown_blocks_is_refused(client: TestClient):
    stage(client, "part.bin", "one")
    assert commit(client, "part.bin").headers["x-ms-error-code"] == "InvalidBlockList"
    stage(client, "part.bin", "two")
    assert commit(client, "part.bin").status_code == 201
    other = "<BlockList><Latest>two</Latest></BlockList>"
    assert commit(client, "part.bin", other, **{"x-ms-version": "2024-11-04"}).status_code == 400


@pytest.mark.parametrize("headers", [ONLY_NEW, {}])
def test_the_same_content_again_leaves_the_file_as_it_is(workspace: Workspace, client: TestClient, headers: dict):
    file = workspace.blobs.path(BLOBSTORE, "again.txt")
    digest = {"Content-MD5": b64encode(md5(b"text").digest()).decode()}
    assert client.put(f"{BLOB}/again.txt", content=b"text", headers=headers).status_code == 201
    before = file.stat()
    assert client.put(f"{BLOB}/again.txt", content=b"text", headers={**headers, **digest}).status_code == 201
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert client.put(f"{BLOB}/again.txt", content=b"test", headers=ONLY_NEW).status_code == 409
    assert file.read_text() == "text"
    assert staged(workspace) == []


@pytest.mark.parametrize("query", ["", "?comp=block&blockid=one"])
def test_nothing_stays_of_content_that_cannot_be_kept(workspace: Workspace, client: TestClient, query: str):
    async def until_the_disk_is_full(_: httpx.AsyncClient) -> AsyncIterator[bytes]:
        yield b"first "
        raise OSError(errno.ENOSPC, "No space left on device")

    assert put_slowly(client, f"{BLOB}/full.bin{query}", until_the_disk_is_full) == 500
    wrong = {"Content-MD5": b64encode(md5(b"other").digest()).decode()}
    assert client.put(f"{BLOB}/full.bin{query}", content=b"text", headers=wrong).status_code == 400
    assert staged(workspace) == []


def test_a_workspace_that_starts_removes_what_uploads_have_left(tmp_path: Path):
    workspace = open_workspace(tmp_path / "local")
    stage(client_of(workspace), "left.bin", "one")
    assert staged(workspace)
    workspace.close()
    workspace = open_workspace(tmp_path / "local")
    assert staged(workspace) == []
    workspace.close()


def test_a_run_whose_upload_is_refused_ends_with_one_sentence(tmp_path: Path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "good.txt").write_text("good")
    (tmp_path / "notes" / "b\\d.txt").write_text("a name that no blob has")
    (tmp_path / "job.yml").write_text(JOB)
    run = azureml_local("run", tmp_path / "job.yml", home=tmp_path / "home")
    assert run.returncode == 2
    assert run.stderr.startswith(f"azureml-local: Could not submit {tmp_path / 'job.yml'}: A blob's name is a path")
    assert run.stderr.count("\n") == 1
    assert "Uploading" not in run.stdout
