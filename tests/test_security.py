"""Who opens the workspace, what lies behind it, and what malformed requests do to it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import pytest
from fastapi.testclient import TestClient

from azureml_local.arm_ids import WORKSPACE_ID, resource_id
from azureml_local.blobs import ARTIFACTS
from azureml_local.connection import CLIENT_VARIABLES, Addresses, client_environment
from azureml_local.identity import WRITE, Identity
from azureml_local.rest.app import create_app
from azureml_local.rest.requests import LARGEST
from azureml_local.rest.tokens import identity_app
from azureml_local.workspace import Workspace
from test_rest import BLOB, ROUTERS, client_of, command_job, open_workspace, wait_for

BASE = "https://127.0.0.1:1"
CLAIMS = {"aud": "https://127.0.0.1", "exp": 4_000_000_000}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    workspace = open_workspace(tmp_path_factory.mktemp("home") / "local")
    yield workspace
    workspace.close()


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> TestClient:
    return client_of(workspace)


@pytest.fixture(scope="module")
def stranger(workspace: Workspace) -> TestClient:
    return TestClient(create_app(workspace), BASE, raise_server_exceptions=False)


def every_route() -> list[tuple[str, str]]:
    """Each method and address of the route table."""
    return [
        (method, prefix + route.path.replace(":path", "").format_map(dict.fromkeys(route.param_convertors, "x")))
        for prefix, router in ROUTERS
        for route in router.routes
        for method in sorted(route.methods)
    ]


def guesses(workspace: Workspace) -> dict[str, dict]:
    """What somebody without the secret may send, each as the arguments of a request."""
    secret = workspace.home.secret.read_text()
    other = Identity("the secret of somebody else, and a long one")

    def bearer(token: str) -> dict:
        return {"headers": {"Authorization": f"Bearer {token}"}}

    def signed(query: str) -> dict:
        return {"params": httpx.QueryParams(query)}

    return {
        "nothing": {},
        "no token": bearer(""),
        "no JWT": bearer("guess"),
        "not even text": {"headers": {"Authorization": b"Bearer \xff\xfe.\xe9.x"}},
        "another scheme": {"headers": {"Authorization": "Basic YTpi"}},
        "an identity header": {"headers": {"X-IDENTITY-HEADER": workspace.identity.header}},
        "no algorithm": bearer(jwt.encode(CLAIMS, None, algorithm="none")),
        "another algorithm": bearer(jwt.encode(CLAIMS, secret, algorithm="HS512")),
        "another key": bearer(jwt.encode(CLAIMS, "k" * 48, algorithm="HS256")),
        "too late": bearer(jwt.encode({**CLAIMS, "exp": 1}, secret, algorithm="HS256")),
        "without an end": bearer(jwt.encode({"aud": "x"}, secret, algorithm="HS256")),
        "another workspace": bearer(other.issue_token("https://127.0.0.1")[0]),
        "a late signature": signed(workspace.identity.sign("/", lifetime=-1, permissions=WRITE)),
        "another's signature": signed(other.sign("/", permissions=WRITE)),
        "a signature of another path": signed(workspace.identity.sign("/elsewhere", permissions=WRITE)),
        "a signature with more rights": signed(workspace.identity.sign("/").replace("sp=rl", "sp=racwdl")),
        "a signature of no text": {"params": {"sr": "/", "se": "9999", "sp": "r", "sig": "\u00e9\u20ac"}},
    }


def test_no_route_opens_to_a_guess(workspace: Workspace, stranger: TestClient):
    routes = every_route()
    assert len(routes) > 55
    for what, sent in guesses(workspace).items():
        for method, path in routes:
            status = stranger.request(method, path, **sent).status_code
            assert status in (401, 403), f"{method} {path} with {what}: {status}"


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "HEAD", "GUESS", "POST"])
@pytest.mark.parametrize("path", ["/", "/openapi.json", "/docs", WORKSPACE_ID, BLOB, "/nothing", "//", "/%00"])
def test_what_is_no_route_opens_to_nobody(stranger: TestClient, method: str, path: str):
    reply = stranger.request(method, path)
    assert reply.status_code in (401, 403)
    assert "access-control-allow-origin" not in reply.headers


def test_a_link_that_does_not_open_is_a_page_for_a_browser_and_json_for_a_client(
    workspace: Workspace, stranger: TestClient
):
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    late = workspace.identity.sign("/jobs", lifetime=-1)
    for query, status in ((late, 403), (late.replace("sig=", "sig=0"), 403), ("", 401)):
        page = stranger.get(f"/jobs?{query}", headers=browser)
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert "a link to a page of the workspace opens for a day" in page.text
        assert "azureml-local status" in page.text
        assert stranger.get(f"/jobs?{query}").json()["error"]["code"] == "AuthenticationFailed"
    gone = stranger.get(f"/jobs/a%3Cb%3E?{workspace.identity.sign('/jobs')}", headers=browser)
    assert gone.status_code == 404
    assert "<p>The local workspace has no job a&lt;b&gt;.</p>" in gone.text


def test_a_signature_to_read_does_not_write(workspace: Workspace, client: TestClient, stranger: TestClient):
    address = f"{BLOB}/kept.txt"
    client.put(address, content=b"kept")
    read = workspace.identity.sign(address)
    assert stranger.get(f"{address}?{read}").content == b"kept"
    for method in ("PUT", "DELETE", "POST", "PATCH"):
        assert stranger.request(method, f"{address}?{read}").status_code == 403
    assert stranger.put(f"{address}?{workspace.identity.sign(address, permissions=WRITE)}").status_code == 201


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:443", "127.0.0.1.evil.example", "[::1]", "[abc", "x]", "", "10.0.0.1"]
)
def test_no_other_name_leads_to_the_workspace(client: TestClient, host: str):
    reply = client.get(WORKSPACE_ID, headers={"Host": host})
    assert reply.status_code == 403
    assert "127.0.0.1" in reply.json()["error"]["message"]


@pytest.mark.parametrize("host", ["127.0.0.1/score/x?", "127.0.0.1/score/x#", "localhost/score/"])
def test_a_name_with_a_path_opens_nothing(stranger: TestClient, host: str):
    assert stranger.put(resource_id("jobs", "x"), json={}, headers={"Host": host}).status_code in (401, 403)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1234", "LOCALHOST"])
def test_the_names_of_this_machine_do(client: TestClient, host: str):
    assert client.get(WORKSPACE_ID, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "https://127.0.0.1:2", "null", ""])
def test_a_page_of_somebody_else_is_not_answered(client: TestClient, origin: str):
    assert client.get(WORKSPACE_ID, headers={"Origin": origin}).status_code == 403
    assert client.get(WORKSPACE_ID, headers={"Origin": BASE}).status_code == 200


def test_tokens_are_given_to_the_identity_header_only(workspace: Workspace):
    identity = TestClient(identity_app(workspace.identity), "http://127.0.0.1:2")
    right = {"X-IDENTITY-HEADER": workspace.identity.header}
    assert identity.get("/msi/token", headers=right).status_code == 200
    assert identity.get("/msi/token").status_code == 401
    assert identity.get("/msi/token", headers={"X-IDENTITY-HEADER": b"\xff"}).status_code == 401
    for host in ("evil.example", "[abc"):
        assert identity.get("/msi/token", headers=right | {"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "name",
    [
        "../../secret",
        "..%2f..%2fsecret",
        "%2e%2e/%2e%2e/secret",
        "%252e%252e%252f%252e%252e%252fsecret",
        "..%5c..%5csecret",
        "a/%2e%2e/%2e%2e/%2e%2e/secret",
        "%00",
        "a%00b",
        "%2fetc%2fpasswd",
        "x" * 300,
        "x/" * 600 + "x",
        "%ff%fe",
        "",
    ],
)
@pytest.mark.parametrize("query", ["", "?comp=metadata", "?comp=block&blockid=..%2f..%2fx", "?comp=blocklist"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_no_blob_lies_outside_its_container(
    workspace: Workspace, client: TestClient, method: str, name: str, query: str
):
    def names() -> set[str]:
        """What lies in the home, but for MLflow's database, which is made in the background at the start."""
        return {path.name for path in workspace.home.path.iterdir() if not path.name.startswith("mlflow")}

    secret, before = workspace.home.secret.read_text(), names()
    reply = client.request(method, f"{BLOB}/{name}{query}")
    assert reply.status_code < 500 or reply.status_code == 501
    assert secret not in reply.text
    assert workspace.home.secret.read_text() == secret
    assert names() == before


def test_links_that_a_job_leaves_lead_to_nothing_of_the_workspace(
    workspace: Workspace, client: TestClient, tmp_path: Path
):
    (tmp_path / "private.txt").write_text("private")
    folder = workspace.home.blobs / ARTIFACTS / "links"
    folder.mkdir()
    targets = {"outside": tmp_path, "file": tmp_path / "private.txt", "home": workspace.home.path}
    targets |= {"secret": workspace.home.secret, "certificates": workspace.home.certificates, "here": folder}
    for name, target in targets.items():
        (folder / name).symlink_to(target)
    listed = client.get(f"/blob/{ARTIFACTS}?comp=list&prefix=links/").text
    assert "<Name>" not in listed
    for name in ("outside/private.txt", "file", "home/secret", "secret", "certificates/key.pem"):
        assert client.get(f"/blob/{ARTIFACTS}/links/{name}").status_code in (400, 404)


@pytest.mark.parametrize("name", ["%2e%2e", "%2e", "a%2fb", "-x", "a b", "a\u00e9", "x" * 300, "%00", "$x"])
@pytest.mark.parametrize(
    "path",
    [
        "onlineEndpoints/{}",
        "onlineEndpoints/there/deployments/{}",
        "computes/{}",
        "data/{}/versions/1",
        "models/m/versions/{}",
        "environments/{}",
        "codes/{}/versions/1/startPendingUpload",
        "jobs/{}",
    ],
)
def test_a_name_cannot_be_a_path(client: TestClient, path: str, name: str):
    client.put(resource_id("onlineEndpoints", "there"), json={})
    method = "POST" if path.endswith("Upload") else "PUT"
    body = {"properties": {"jobType": "Command", "command": "true"}}
    reply = client.request(method, f"{WORKSPACE_ID}/{path.format(name)}", json=body)
    assert reply.status_code in (400, 404, 501), reply.text


def test_a_job_does_not_inherit_what_points_at_the_workspace(
    workspace: Workspace, client: TestClient, monkeypatch: pytest.MonkeyPatch
):
    for name, value in client_environment(workspace.home, Addresses(port=1, identity_port=2, pid=3)).items():
        monkeypatch.setenv(name, value)
    client.put(resource_id("jobs", "variables"), json=command_job("env"))
    assert wait_for(client, "variables")["status"] == "Completed"
    details = client.get(f"/history/v1.0{WORKSPACE_ID}/runs/variables/details").json()
    log = client.get(details["logFiles"]["user_logs/std_log.txt"]).text
    seen = dict(line.split("=", 1) for line in log.splitlines() if "=" in line)
    assert CLIENT_VARIABLES & set(seen) == {"MLFLOW_TRACKING_URI"}
    assert seen["MLFLOW_TRACKING_URI"] == client.get(WORKSPACE_ID).json()["properties"]["mlFlowTrackingUri"]
    assert seen["MLFLOW_RUN_ID"] == "variables"


def test_the_two_variables_of_the_cloud_come_together(workspace: Workspace):
    variables = client_environment(workspace.home, Addresses(port=1, identity_port=2, pid=3))
    assert variables["AZUREML_CURRENT_CLOUD"] == "AzureLocal"
    assert variables["ARM_CLOUD_METADATA_URL"].startswith("https://127.0.0.1:1/")
    assert variables["AZURE_TOKEN_CREDENTIALS"] == "ManagedIdentityCredential"


def test_a_body_that_is_too_large_is_not_read_to_its_end(client: TestClient):
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 1 << 20
            yield b" " * (1 << 20)

    reply = client.put(resource_id("jobs", "large"), content=chunks())
    assert reply.status_code == 413
    assert str(LARGEST) in reply.json()["error"]["message"]


def test_a_block_list_cannot_grow(client: TestClient):
    name = f"{BLOB}/laughs"
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    laughs = f'<!DOCTYPE l [<!ENTITY l0 "ha">{entities}]><BlockList><Latest>&l11;</Latest></BlockList>'
    for encoding in ("utf-8", "utf-16"):
        reply = client.put(f"{name}?comp=blocklist", content=laughs.encode(encoding))
        assert reply.status_code == 400
        assert "document type" in reply.json()["error"]["message"]
    for broken in ("<BlockList>", "", "nothing", "<BlockList><Latest>bm90IHN0YWdlZA==</Latest></BlockList>"):
        assert client.put(f"{name}?comp=blocklist", content=broken).status_code == 400
    assert client.head(name).status_code == 404


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=-1", "bytes=\u00b2-", "bytes=1-2,4-5", "bytes=9" * 500, "lines=1-2", "-"]
)
def test_a_range_that_is_none_is_refused(client: TestClient, asked: str):
    client.put(f"{BLOB}/ten", content=b"0123456789")
    for header in ("Range", "x-ms-range"):
        assert client.get(f"{BLOB}/ten", headers={header: asked.encode("latin-1")}).status_code == 416
