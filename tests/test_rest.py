"""The REST interface, asked without the SDK."""

import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from azureml_local.arm_ids import WORKSPACE_ID, resource_id
from azureml_local.home import Home
from azureml_local.identity import Identity
from azureml_local.rest.app import PLANES, ROOTS, create_app
from azureml_local.workspace import Workspace

ROUTERS = [*(("", router) for router in ROOTS), *((plane + WORKSPACE_ID, router) for plane, router in PLANES)]
BLOB = "/blob/azureml-blobstore"


def open_workspace(folder: Path) -> Workspace:
    home = Home(folder)
    home.create()
    return Workspace(home)


def client_of(workspace: Workspace) -> TestClient:
    token, _ = workspace.identity.issue_token("https://127.0.0.1")
    headers = {"Authorization": f"Bearer {token}"}
    return TestClient(create_app(workspace), "https://127.0.0.1:1", headers=headers, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory):
    workspace = open_workspace(tmp_path_factory.mktemp("home") / "local")
    yield workspace
    workspace.close()


@pytest.fixture(scope="module")
def client(workspace: Workspace):
    return client_of(workspace)


@pytest.fixture
def stranger(workspace: Workspace):
    return TestClient(create_app(workspace), "https://127.0.0.1:1")


def command_job(command: str) -> dict:
    return {"properties": {"jobType": "Command", "command": command, "experimentName": "tests", "displayName": "job"}}


def wait_for(client: TestClient, job: str) -> dict:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        properties = client.get(resource_id("jobs", job)).json()["properties"]
        if properties["status"] in ("Completed", "Failed", "Canceled"):
            return properties
        time.sleep(0.05)
    raise TimeoutError(job)


def test_no_route_answers_without_the_secret(stranger: TestClient):
    routes = [(prefix, route) for prefix, router in ROUTERS for route in router.routes]
    assert len(routes) > 40
    for prefix, route in routes:
        for method in route.methods:
            path = prefix + route.path.replace(":path", "").format_map(dict.fromkeys(route.param_convertors, "x"))
            assert stranger.request(method, path).status_code in (401, 403), f"{method} {path}"


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer x.y.z"}, {"Authorization": "Basic YTpi"}, {"x-identity-header": "guess"}]
)
def test_no_guess_opens_the_workspace(stranger: TestClient, headers: dict):
    assert stranger.get(WORKSPACE_ID, headers=headers).status_code == 401


def test_a_token_of_another_workspace_does_not_open_this_one(stranger: TestClient):
    token, _ = Identity("the secret of somebody else, and a long one").issue_token("https://127.0.0.1")
    assert stranger.get(WORKSPACE_ID, headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_a_signature_opens_its_folder_and_no_other(workspace: Workspace, client: TestClient, stranger: TestClient):
    for name in ("a/x.txt", "ab/x.txt"):
        assert client.put(f"{BLOB}/signed/{name}", content=b"text").status_code == 201
    signature = workspace.identity.sign(f"{BLOB}/signed/a")
    assert stranger.get(f"{BLOB}/signed/a/x.txt?{signature}").content == b"text"
    assert stranger.get(f"{BLOB}/signed/ab/x.txt?{signature}").status_code == 403
    assert stranger.get(f"{WORKSPACE_ID}?{signature}").status_code == 403
    wider = signature.replace("signed%2Fa", "signed")
    assert stranger.get(f"{BLOB}/signed/a/x.txt?{wider}").status_code == 403
    late = workspace.identity.sign(f"{BLOB}/signed/a", lifetime=-1)
    assert stranger.get(f"{BLOB}/signed/a/x.txt?{late}").status_code == 403


@pytest.mark.parametrize("name", ["../../secret", "a/../../../secret", "%2e%2e/%2e%2e/secret", "..%2f..%2fsecret"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_blob_paths_do_not_leave_their_folder(workspace: Workspace, client: TestClient, method: str, name: str):
    secret = workspace.home.secret.read_text()
    reply = client.request(method, f"{BLOB}/{name}")
    assert reply.status_code in (400, 404, 501)
    assert secret not in reply.text
    assert workspace.home.secret.read_text() == secret


def test_a_blob_comes_back_whole_and_in_ranges(client: TestClient):
    client.put(f"{BLOB}/range.bin", content=b"0123456789", headers={"x-ms-meta-Name": "digits"})
    head = client.head(f"{BLOB}/range.bin")
    assert head.headers["content-length"] == "10"
    assert head.headers["x-ms-meta-name"] == "digits"
    part = client.get(f"{BLOB}/range.bin", headers={"x-ms-range": "bytes=3-5"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"345", "bytes 3-5/10")
    assert client.get(f"{BLOB}/range.bin", headers={"x-ms-range": "bytes=8-99"}).content == b"89"
    assert client.get(f"{BLOB}/range.bin", headers={"x-ms-range": "bytes=10-"}).status_code == 416
    assert client.get(f"{BLOB}/absent").headers["x-ms-error-code"] == "BlobNotFound"


def test_content_that_was_damaged_on_the_way_is_refused(client: TestClient):
    reply = client.put(f"{BLOB}/damaged", content=b"text", headers={"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="})
    assert reply.status_code == 400
    assert client.head(f"{BLOB}/damaged").status_code == 404


@pytest.mark.parametrize("path", ["schedules/x", "batchEndpoints", "connections", "featuresets/a/versions/1", "nope"])
def test_what_is_not_spoken_is_named(client: TestClient, path: str):
    reply = client.get(f"{WORKSPACE_ID}/{path}")
    assert reply.status_code == 501
    assert path.split("/")[0] in reply.json()["error"]["message"]


def test_jobs_of_other_types_are_not_spoken(client: TestClient):
    reply = client.put(resource_id("jobs", "automl"), json={"properties": {"jobType": "AutoML"}})
    assert reply.status_code == 501
    assert 'jobs of type "AutoML"' in reply.json()["error"]["message"]
    assert client.get(resource_id("jobs", "automl")).status_code == 404


def test_there_is_one_workspace(client: TestClient):
    assert client.get(WORKSPACE_ID).json()["name"] == "local"
    assert client.get(WORKSPACE_ID.replace("workspaces/local", "workspaces/other")).status_code == 404


def test_any_cluster_exists(client: TestClient):
    assert client.get(resource_id("computes", "gpu-cluster")).json()["properties"]["computeType"] == "AmlCompute"


def test_versions_count_up_and_latest_is_the_last_created(client: TestClient):
    for version in ("1", "9", "3"):
        reply = client.put(resource_id("environments", "training", version), json={"properties": {"image": version}})
        assert reply.status_code == 201
    container = client.get(resource_id("environments", "training")).json()["properties"]
    assert (container["latestVersion"], container["nextVersion"]) == ("3", "10")
    listed = client.get(f"{resource_id('environments', 'training')}/versions?$orderBy=createdtime desc&$top=2")
    assert [found["name"] for found in listed.json()["value"]] == ["3", "9"]


def test_an_archived_version_is_out_of_sight(client: TestClient):
    for version in ("1", "2"):
        client.put(resource_id("environments", "old", version), json={"properties": {"isArchived": version == "2"}})
    versions = f"{resource_id('environments', 'old')}/versions"
    assert [found["name"] for found in client.get(versions).json()["value"]] == ["1"]
    archived = client.get(f"{versions}?listViewType=ArchivedOnly").json()["value"]
    assert [found["name"] for found in archived] == ["2"]
    assert client.get(resource_id("environments", "old")).json()["properties"]["latestVersion"] == "1"


def test_a_model_that_is_not_there_is_refused(client: TestClient):
    uri = "azureml://jobs/nobody/outputs/model"
    reply = client.put(resource_id("models", "student", "1"), json={"properties": {"modelUri": uri}})
    assert reply.status_code == 400
    assert uri in reply.json()["error"]["message"]


def test_a_known_job_is_updated_and_never_run_twice(workspace: Workspace, client: TestClient):
    counter = workspace.home.path / "counter"
    job, body = resource_id("jobs", "once"), command_job(f"echo run >> {counter}")
    assert client.put(job, json=body).status_code == 201
    assert wait_for(client, "once")["status"] == "Completed"
    body["properties"].update(isArchived=True, displayName="renamed", tags={"kept": "yes"})
    assert client.put(job, json=body).status_code == 200
    properties = client.get(job).json()["properties"]
    assert (properties["displayName"], properties["isArchived"]) == ("renamed", True)
    assert properties["tags"] == {"kept": "yes"}
    assert "once" not in [listed["name"] for listed in client.get(f"{WORKSPACE_ID}/jobs").json()["value"]]
    assert counter.read_text() == "run\n"


def test_a_job_that_cannot_be_run_names_node_and_field_and_leaves_no_trace(client: TestClient):
    component = {"type": "command", "command": "echo ${{inputs.text}}", "inputs": {"text": {"type": "string"}}}
    client.put(resource_id("components", "say", "1"), json={"properties": {"componentSpec": component}})
    node = {"type": "command", "componentId": resource_id("components", "say", "1"), "inputs": {"txt": "hello"}}
    body = {"properties": {"jobType": "Pipeline", "jobs": {"speak": node}}}
    reply = client.put(resource_id("jobs", "broken"), json=body)
    assert reply.status_code == 400
    message = reply.json()["error"]["message"]
    assert 'jobs.speak.inputs.txt: node "speak" gives an input "txt", which its component does not have' in message
    assert client.get(resource_id("jobs", "broken")).status_code == 404


def test_a_cancelled_job_ends(client: TestClient):
    client.put(resource_id("jobs", "endless"), json=command_job("sleep 300"))
    assert client.post(f"{resource_id('jobs', 'endless')}/cancel").status_code == 200
    assert wait_for(client, "endless")["status"] == "Canceled"


def test_a_failed_job_says_why(client: TestClient):
    client.put(resource_id("jobs", "failing"), json=command_job("echo the reason; exit 3"))
    assert wait_for(client, "failing")["status"] == "Failed"
    run = client.get(f"/history/v1.0{WORKSPACE_ID}/runs/failing/details").json()
    assert "the reason" in run["error"]["error"]["message"]
    assert b"the reason" in client.get(run["logFiles"]["user_logs/std_log.txt"]).content


def test_traffic_goes_only_to_deployments_that_are_there(client: TestClient):
    endpoint = resource_id("onlineEndpoints", "scorer")
    assert client.put(endpoint, json={"properties": {"traffic": {}}}).status_code == 201
    reply = client.put(endpoint, json={"properties": {"traffic": {"blue": 100}}})
    assert reply.status_code == 400
    assert '"blue"' in reply.json()["error"]["message"]


def test_an_endpoint_opens_to_its_own_keys_only(client: TestClient):
    client.put(resource_id("onlineEndpoints", "keyed"), json={"properties": {}})
    keys = client.post(f"{resource_id('onlineEndpoints', 'keyed')}/listKeys").json()
    assert len(set(keys.values())) == 2
    # With a key there is nobody to answer; with a token of the workspace, or nothing, there is no entry.
    assert client.post("/score/keyed").status_code == 401
    for key in keys.values():
        assert client.post("/score/keyed", headers={"Authorization": f"Bearer {key}"}).status_code == 404


def test_a_request_that_cannot_be_read_is_400(client: TestClient):
    reply = client.put(resource_id("jobs", "x"), content=b"{", headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "UserError"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"environmentVariables": {"A=B": "1"}},
            "environment_variables.A=B: the job has an environment variable 'A=B'",
        ),
        ({"environmentVariables": {"": "1"}}, "environment_variables.: the job has an environment variable ''"),
        ({"environmentVariables": {"A": "x" * 131_070}}, 'node "long", environment_variables.A: it has 131072 bytes'),
        (
            {"inputs": {"a": {"jobInputType": "literal", "value": "x" * 131_060}}},
            'node "long", inputs.a: it has 131077',
        ),
        ({"command": "x" * 131_072}, 'node "long", command: it has 131072 bytes with all values in it'),
    ],
)
def test_what_no_process_can_be_given_is_refused_when_it_is_submitted(client: TestClient, changes: dict, sentence: str):
    properties = {**command_job("true")["properties"], **changes}
    reply = client.put(resource_id("jobs", "long"), json={"properties": properties})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith(sentence)
    assert client.get(resource_id("jobs", "long")).status_code == 404


def test_a_restart_keeps_what_it_knew_and_buries_the_dead(tmp_path: Path):
    first = open_workspace(tmp_path / "home")
    client = client_of(first)
    client.put(resource_id("environments", "training", "1"), json={"properties": {"image": "i"}})
    client.put(resource_id("onlineEndpoints", "scorer"), json={"properties": {}})
    keys = first.endpoints.keys("scorer")
    client.put(resource_id("jobs", "done"), json=command_job("true"))
    wait_for(client, "done")
    first.store.put("runs", "orphan", "", {"status": "Running", "parent": None})
    first.close()
    second = open_workspace(tmp_path / "home")
    again = client_of(second)
    assert again.get(resource_id("environments", "training", "1")).json()["properties"]["image"] == "i"
    assert second.endpoints.keys("scorer") == keys
    assert again.get(resource_id("jobs", "done")).json()["properties"]["status"] == "Completed"
    orphan = second.jobs.run("orphan").body
    assert orphan["status"] == "Failed"
    assert "stopped" in orphan["error"]
    second.close()


def test_the_workspaces_files_are_closed_to_others(workspace: Workspace):
    assert workspace.home.path.stat().st_mode & 0o077 == 0
    assert workspace.home.secret.stat().st_mode & 0o077 == 0
