"""A workspace in a process of its own: its files, its ports, and what arrives at them."""

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from azureml_local.arm_ids import WORKSPACE_ID, resource_id
from azureml_local.connection import Addresses
from azureml_local.home import Home
from azureml_local.identity import WRITE, Identity, read_secret
from running_workspace import running_workspace
from test_rest import BLOB, command_job, wait_for
from test_security import every_route


@pytest.fixture(scope="module")
def used_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Addresses]]:
    """A workspace in a process of its own that has run a job and kept a blob."""
    home = Home(tmp_path_factory.mktemp("used") / "home")
    before = os.umask(0o022)
    with running_workspace(home.path):
        os.umask(before)
        addresses = Addresses.read(home)
        assert addresses
        with real_client(home, addresses) as client:
            client.put(f"{BLOB}/a/b.txt", content=b"text")
            client.put(resource_id("jobs", "writing"), json=command_job("echo text > outputs/file.txt; mkdir logs/x"))
            wait_for(client, "writing")  # type: ignore[arg-type]
        yield home, addresses


def real_client(home: Home, addresses: Addresses) -> httpx.Client:
    token, _ = Identity(read_secret(home.secret)).issue_token("x")
    headers = {"Authorization": f"Bearer {token}"}
    context = ssl.create_default_context(cafile=str(home.bundle))
    return httpx.Client(base_url=addresses.url, verify=context, headers=headers, trust_env=False)


def test_every_file_of_a_workspace_is_closed_to_others(used_home: tuple[Home, Addresses]):
    home, _ = used_home
    files = [home.path, *home.path.rglob("*")]
    assert len(files) > 20
    open_to_others = [path for path in files if not path.is_symlink() and path.lstat().st_mode & 0o077]
    assert open_to_others == []


def test_the_workspace_listens_to_this_machine_only(used_home: tuple[Home, Addresses]):
    _, addresses = used_home
    ports = {f"{port:04X}" for port in (addresses.port, addresses.identity_port)}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = {row[1] for row in rows if row[3] == "0A" and row[1].rpartition(":")[2] in ports}
    assert {address.partition(":")[0] for address in listening} == {"0100007F"}


def test_a_workspace_opens_to_its_own_secret_only(used_home: tuple[Home, Addresses]):
    home, addresses = used_home
    other = Identity("the secret of somebody else, and a long one")
    token, _ = other.issue_token("https://127.0.0.1")
    query = other.sign("/", permissions=WRITE)
    with real_client(home, addresses) as client:
        assert client.get(f"{BLOB}/a/b.txt").text == "text"
        client.headers["Authorization"] = f"Bearer {token}"
        for method, path in every_route():
            assert client.request(method, path).status_code == 401
        del client.headers["Authorization"]
        assert client.get(f"{BLOB}/a/b.txt?{query}").status_code == 403
    identity = f"http://127.0.0.1:{addresses.identity_port}/msi/token"
    header = {"X-IDENTITY-HEADER": other.header}
    assert httpx.get(identity, headers=header, trust_env=False).status_code == 401


@pytest.mark.parametrize(
    "sent", [b"\0" * 4096, b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\nHost: x" + b"y" * 100_000, b"\x16\x03\x01" * 500]
)
def test_what_is_no_http_is_not_answered(used_home: tuple[Home, Addresses], sent: bytes):
    home, addresses = used_home
    with (
        socket.create_connection(("127.0.0.1", addresses.port), timeout=2) as plain,
        ssl.create_default_context(cafile=str(home.bundle)).wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        try:
            wrapped.sendall(sent)
            assert not wrapped.recv(100).startswith(b"HTTP/1.1 2")
        except OSError:
            pass  # it hung up
    with real_client(home, addresses) as client:
        assert client.get(WORKSPACE_ID).status_code == 200
