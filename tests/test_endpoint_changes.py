"""Deployments and endpoints that are changed while something else is being done to them."""

import errno
import shutil
import threading
import time
from pathlib import Path

import pytest

from azureml_local.assets import Assets
from azureml_local.blobs import Blobs
from azureml_local.endpoints import SERVED, BusyError, Endpoints
from azureml_local.serving import Deployments, DeploymentSpec, ServingError
from azureml_local.spec import SpecError
from azureml_local.store import Store


class Servers:
    """Deployments without processes: starts wait to be let go, and fail for a colour that is no colour."""

    def __init__(self) -> None:
        self.go, self.serving, self.stopped = threading.Event(), dict[str, str](), threading.Event()
        self.drained, self.errors = threading.Event(), dict[str, Exception]()
        self.drained.set()

    def start(self, _: str, spec: DeploymentSpec) -> None:
        assert self.go.wait(20)
        colour = spec.environment_variables["COLOUR"]
        if colour == "none":
            raise ServingError("no colour")
        if colour in self.errors:
            raise self.errors[colour]
        self.serving[spec.name] = colour

    def stop(self, _: str, name: str) -> None:
        self.serving.pop(name, None)
        self.stopped.set()
        assert self.drained.wait(20)

    forget = stop

    def close(self) -> None:
        """What is starting fails."""
        self.errors = {"blue": ServingError("was stopped while it started")}
        self.go.set()


@pytest.fixture
def servers() -> Servers:
    return Servers()


@pytest.fixture
def endpoints(store: Store, servers: Servers, tmp_path: Path) -> Endpoints:
    return opened(store, servers, tmp_path)


def opened(store: Store, servers: Servers, folder: Path) -> Endpoints:
    return Endpoints(store, Assets(store, Blobs(folder / "blobs", store)), servers)


def colour(name: str) -> dict:
    return {"properties": {"environmentVariables": {"COLOUR": name}}}


def ended(endpoints: Endpoints, operation: str) -> str:
    """The status of an operation, when it has ended, and its message if it failed."""
    deadline = time.monotonic() + 20
    while (found := endpoints.operation(operation))["status"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found["status"] + ("" if found["status"] == "Succeeded" else f": {found['error']['message']}")


def deployed(endpoints: Endpoints, servers: Servers, name: str) -> str:
    """How the deployment of a colour has ended, as `ended` says it."""
    servers.go.set()
    endpoints.put("paint", {})
    return ended(endpoints, endpoints.deploy("paint", "blue", colour(name))[1])


def served_again(store: Store, folder: Path) -> tuple[Endpoints, Servers]:
    """What a workspace that starts anew serves, when all of it serves."""
    servers = Servers()
    servers.go.set()
    endpoints = opened(store, servers, folder)
    for operation in store.all("operations"):
        assert ended(endpoints, operation.name) == "Succeeded"
    return endpoints, servers


def state(endpoints: Endpoints) -> str:
    return endpoints.deployment("paint", "blue").body["properties"]["provisioningState"]


def test_an_update_waits_for_the_one_before(endpoints: Endpoints, servers: Servers):
    endpoints.put("paint", {})
    _, first = endpoints.deploy("paint", "blue", colour("blue"))
    with pytest.raises(BusyError, match='"blue" is being created or updated: wait until that has ended'):
        endpoints.deploy("paint", "blue", colour("navy"))
    servers.go.set()
    assert ended(endpoints, first) == "Succeeded"
    variables = endpoints.deployment("paint", "blue").body["properties"]["environmentVariables"]
    assert (variables, servers.serving) == ({"COLOUR": "blue"}, {"blue": "blue"})
    assert ended(endpoints, endpoints.deploy("paint", "blue", colour("navy"))[1]) == "Succeeded"
    assert servers.serving == {"blue": "navy"}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.E2BIG, "Argument list too long"), "environment_variables are longer than this system passes"),
        (OSError(errno.ENOSPC, "No space left on device"), "could not be started: [Errno 28] No space left on device"),
        (shutil.Error([("from", "to", "no such file")]), "its model or code cannot be copied: no such file"),
        (ValueError("illegal environment variable name"), "could not be started: illegal environment variable name"),
        (RuntimeError("a mistake of ours"), "a mistake of ours"),
    ],
)
def test_whatever_keeps_a_server_from_starting_ends_the_operation(
    error: Exception, message: str, endpoints: Endpoints, servers: Servers
):
    servers.go.set()
    servers.errors["grey"] = error
    endpoints.put("paint", {})
    assert message in ended(endpoints, endpoints.deploy("paint", "blue", colour("grey"))[1])
    assert state(endpoints) == "Failed"
    assert ended(endpoints, endpoints.deploy("paint", "blue", colour("blue"))[1]) == "Succeeded"


def test_after_a_failed_update_a_restart_serves_what_was_served(
    endpoints: Endpoints, servers: Servers, store: Store, tmp_path: Path
):
    assert deployed(endpoints, servers, "blue") == "Succeeded"
    assert deployed(endpoints, servers, "none") == "Failed: no colour"
    assert (state(endpoints), servers.serving) == ("Failed", {"blue": "blue"})
    again, restarted = served_again(store, tmp_path)
    assert (state(again), restarted.serving) == ("Failed", {"blue": "blue"})


def test_a_workspace_that_ends_while_it_serves_again_forgets_nothing(
    endpoints: Endpoints, servers: Servers, store: Store, tmp_path: Path
):
    assert deployed(endpoints, servers, "blue") == "Succeeded"
    again = opened(store, Servers(), tmp_path)
    again.close()
    for operation in store.all("operations"):
        ended(again, operation.name)
    assert state(again) == "Creating"
    third, restarted = served_again(store, tmp_path)
    assert (state(third), restarted.serving) == ("Succeeded", {"blue": "blue"})


def test_a_deployment_that_never_served_is_not_started_again(
    endpoints: Endpoints, servers: Servers, store: Store, tmp_path: Path
):
    assert deployed(endpoints, servers, "none") == "Failed: no colour"
    again = opened(store, Servers(), tmp_path)
    assert state(again) == "Failed"
    assert store.all("operations") == []


def test_what_is_deleted_while_it_starts_serves_nobody(endpoints: Endpoints, servers: Servers):
    endpoints.put("paint", {})
    _, starting = endpoints.deploy("paint", "blue", colour("blue"))
    assert ended(endpoints, endpoints.remove_later("paint")) == "Succeeded"
    servers.go.set()
    assert ended(endpoints, starting) == 'Failed: deployment "blue" was deleted while it started'
    assert servers.serving == {}
    assert endpoints.deployments("paint") == []


def test_an_endpoint_is_made_again_only_when_it_is_gone(endpoints: Endpoints, servers: Servers):
    servers.go.set()
    endpoints.put("paint", {})
    ended(endpoints, endpoints.deploy("paint", "blue", colour("blue"))[1])
    servers.drained.clear()
    removing = endpoints.remove_later("paint")
    assert servers.stopped.wait(20)
    with pytest.raises(BusyError, match='The endpoint "paint" is being deleted: wait until that has ended'):
        endpoints.put("paint", {"tags": {"new": "one"}})
    with pytest.raises(BusyError, match='The endpoint "paint" is being deleted'):
        endpoints.deploy("paint", "green", colour("green"))
    servers.drained.set()
    assert ended(endpoints, removing) == "Succeeded"
    endpoints.put("paint", {"tags": {"new": "one"}})
    assert endpoints.get("paint").body["tags"] == {"new": "one"}


def test_changes_side_by_side_are_all_kept(endpoints: Endpoints):
    endpoints.put("paint", {"properties": {}})
    start = threading.Barrier(8)

    def change(name: str) -> None:
        start.wait()
        for number in range(20):
            endpoints.change("paint", {"properties": {name: number}})

    threads = [threading.Thread(target=change, args=(f"field{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert endpoints.get("paint").body["properties"] == {f"field{index}": 19 for index in range(8)}


def test_what_a_deleted_deployment_leaves_of_the_traffic_may_stay(endpoints: Endpoints, servers: Servers):
    servers.go.set()
    endpoints.put("paint", {"properties": {}})
    for name in ("blue", "green"):
        ended(endpoints, endpoints.deploy("paint", name, colour(name))[1])
    endpoints.put("paint", {"properties": {"traffic": {"blue": 60, "green": 40}}})
    ended(endpoints, endpoints.remove_later("paint", "blue"))
    endpoints.put("paint", {"tags": {"b": "2"}, "properties": {"traffic": {"green": 40}}})
    with pytest.raises(SpecError, match="add up to 0 or 100, and add up to 50"):
        endpoints.put("paint", {"properties": {"traffic": {"green": 50}}})


def test_a_server_that_is_stopped_before_it_is_launched_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = tmp_path / "code"
    code.mkdir()
    (code / "score.py").write_text("def init(): pass\ndef run(raw): return []\n")
    deployments = Deployments(tmp_path / "home")
    launch, launched = deployments._start_server, []

    def stopped_before(*args: object) -> object:
        deployments.stop("paint", "blue")
        launched.append(launch(*args))
        return launched[0]

    monkeypatch.setattr(deployments, "_start_server", stopped_before)
    with pytest.raises(ServingError, match="was stopped while it started"):
        deployments.start("paint", DeploymentSpec(name="blue", code=code, scoring_script="score.py"))
    assert not launched[0].process.running
    with pytest.raises(KeyError):
        deployments.address("paint", "blue")
    monkeypatch.undo()
    deployments.start("paint", DeploymentSpec(name="blue", code=code, scoring_script="score.py"))
    assert deployments.address("paint", "blue")
    deployments.close()


def test_of_a_server_that_was_ended_while_it_started_the_deletion_is_told(endpoints: Endpoints, servers: Servers):
    endpoints.put("paint", {})
    _, starting = endpoints.deploy("paint", "blue", colour("none"))
    assert ended(endpoints, endpoints.remove_later("paint", "blue")) == "Succeeded"
    servers.go.set()
    assert ended(endpoints, starting) == 'Failed: deployment "blue" was deleted while it started'


def test_a_deployment_and_its_endpoint_can_be_deleted_without_waiting(endpoints: Endpoints, servers: Servers):
    servers.go.set()
    endpoints.put("paint", {})
    ended(endpoints, endpoints.deploy("paint", "blue", colour("blue"))[1])
    servers.drained.clear()
    first = endpoints.remove_later("paint", "blue")
    assert servers.stopped.wait(20)
    assert ended(endpoints, endpoints.remove_later("paint")) == "Succeeded"
    servers.drained.set()
    assert ended(endpoints, first) == "Succeeded"
    assert endpoints.get("paint") is None


def test_a_deployment_that_is_deleted_as_it_succeeds_is_not_served_after_a_restart(
    store: Store, endpoints: Endpoints, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    servers.go.set()
    endpoints.put("paint", {})
    put, deleted = store.put, threading.Thread(target=endpoints.undeploy, args=("paint", "blue"))

    def put_late(kind: str, *values: object):
        if kind == SERVED:
            deleted.start()
            deleted.join(0.2)
        return put(kind, *values)

    monkeypatch.setattr(store, "put", put_late)
    ended(endpoints, endpoints.deploy("paint", "blue", colour("blue"))[1])
    deleted.join(20)
    assert (endpoints.deployment("paint", "blue"), store.all(SERVED)) == (None, [])
