"""Blue/green: a deployment is replaced and removed while clients ask, and none of them notices."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from azureml_local.endpoints import Endpoints
from azureml_local.serving import DeploymentSpec
from page_state import PageState, opened, served

CLIENTS = 8
SCORE = """
import json, os, time

def init():
    pass

def run(raw):
    time.sleep(0.02)
    return [os.environ["COLOUR"]] * len(json.loads(raw)["input_data"])
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[PageState]:
    with opened(tmp_path / "home") as state:
        yield state
        state.workspace.endpoints.close()


def script(folder: Path, text: str) -> Path:
    """The code of a deployment."""
    folder.mkdir()
    (folder / "score.py").write_text(text)
    return folder


def deploy(endpoints: Endpoints, code: Path, name: str, colour: str) -> None:
    """Serve a deployment, and wait until it answers."""
    variables = {"COLOUR": colour, "GUNICORN_CMD_ARGS": "-k gthread --threads 17"}
    endpoints._store.put("deployments", "colours", name, {"properties": {"provisioningState": "Succeeded"}})
    spec = DeploymentSpec(name=name, code=code, scoring_script="score.py", environment_variables=variables)
    endpoints._deployments.start("colours", spec)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_no_request_fails_while_a_deployment_is_replaced_and_another_removed(state: PageState, tmp_path: Path):
    code, endpoints = script(tmp_path / "code", SCORE), state.workspace.endpoints
    endpoints.put("colours", {"properties": {}})
    deploy(endpoints, code, "blue", "blue")
    endpoints.put("colours", {"properties": {"traffic": {"blue": 100}}})
    headers = {"Authorization": f"Bearer {endpoints.keys('colours')['primaryKey']}"}
    answers: list[tuple[float, str]] = []
    done = threading.Event()

    def client(base: str) -> None:
        with httpx.Client(verify=False, timeout=30) as session:
            while not done.is_set():
                reply = session.post(f"{base}/score/colours", json={"input_data": ["x"]}, headers=headers)
                word = json.loads(reply.text)[0] if reply.is_success else f"{reply.status_code} {reply.text}"
                answers.append((time.monotonic(), word))

    def said(word: str, since: float = 0.0) -> bool:
        """Whether the clients have had an answer several times."""
        return sum(one == word and moment > since for moment, one in answers) > 3

    with served(state) as base:
        clients = [threading.Thread(target=client, args=(base,), daemon=True) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        wait_until(lambda: said("blue"))
        deploy(endpoints, code, "blue", "navy")  # in place
        deploy(endpoints, code, "green", "green")
        endpoints.put("colours", {"properties": {"traffic": {"blue": 50, "green": 50}}})
        wait_until(lambda: said("navy") and said("green"))
        endpoints.put("colours", {"properties": {"traffic": {"blue": 0, "green": 100}}})
        endpoints.undeploy("colours", "blue")
        removed = time.monotonic()
        wait_until(lambda: said("green", since=removed + 0.2))
        done.set()
        for one in clients:
            one.join()
    counts = Counter(word for _, word in answers)
    assert set(counts) == {"blue", "navy", "green"}, counts
    assert {word for moment, word in answers if moment > removed + 0.2} == {"green"}


RAW = """
from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

def init():
    pass

@rawhttp
def run(request):
    names = ("X-Custom", "Authorization", "Content-Type")
    seen = {name: request.headers.get(name) for name in names} | {"path": request.full_path, "method": request.method}
    status = int(request.args.get("status", 200))
    return AMLResponse(seen, status, json_str=True, response_headers={"X-Answer": "42"})
"""


def test_a_script_sees_query_headers_and_method_and_its_own_headers_come_back(state: PageState, tmp_path: Path):
    code, endpoints = script(tmp_path / "code", RAW), state.workspace.endpoints
    endpoints.put("colours", {"properties": {}})
    deploy(endpoints, code, "raw", "raw")
    endpoints.put("colours", {"properties": {"traffic": {"raw": 100}}})
    headers = {"Authorization": f"Bearer {endpoints.keys('colours')['primaryKey']}", "X-Custom": "ja \xe4"}
    with served(state) as base, httpx.Client(verify=False, timeout=30) as session:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        reply = session.get(f"{base}/score/colours?a=1&b=%20", headers=raw)
        assert (reply.status_code, reply.headers["X-Answer"]) == (200, "42")
        seen = reply.json()
        assert (seen["path"], seen["method"], seen["Authorization"]) == ("/score?a=1&b=%20", "GET", None)
        assert (seen["X-Custom"], seen["Content-Type"]) == ("ja \xe4", "application/json")
        failed = session.post(f"{base}/score/colours?status=418", headers=raw, content=b"x")
        assert failed.status_code == 424
        assert (failed.headers["ms-azureml-model-error-statuscode"], failed.headers["X-Answer"]) == ("418", "42")
        assert session.put(f"{base}/score/colours", headers=raw).status_code in (405, 501)
