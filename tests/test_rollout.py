"""Blue/green: a deployment is replaced and removed while clients ask, and none of them notices."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
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


def deploy(endpoints: Endpoints, code: Path, name: str, colour: str) -> None:
    """Serve a deployment, and wait until it answers."""
    variables = {"COLOUR": colour, "GUNICORN_CMD_ARGS": "-k gthread --threads 17"}
    endpoints._store.put("deployments", "colours", name, {"properties": {"provisioningState": "Succeeded"}})
    spec = DeploymentSpec(name=name, code=code, scoring_script="score.py", environment_variables=variables)
    endpoints._deployments.start("colours", spec)


def test_no_request_fails_while_a_deployment_is_replaced_and_another_removed(state: PageState, tmp_path: Path):
    code = tmp_path / "code"
    code.mkdir()
    (code / "score.py").write_text(SCORE)
    endpoints = state.workspace.endpoints
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

    with served(state) as base:
        clients = [threading.Thread(target=client, args=(base,)) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        deploy(endpoints, code, "blue", "navy")  # in place
        deploy(endpoints, code, "green", "green")
        endpoints.put("colours", {"properties": {"traffic": {"blue": 50, "green": 50}}})
        time.sleep(0.5)
        endpoints.put("colours", {"properties": {"traffic": {"blue": 0, "green": 100}}})
        endpoints.undeploy("colours", "blue")
        removed = time.monotonic()
        time.sleep(0.5)
        done.set()
        for one in clients:
            one.join()
    counts = Counter(word for _, word in answers)
    assert set(counts) == {"blue", "navy", "green"}, counts
    assert min(counts.values()) > 3, counts
    assert {word for moment, word in answers if moment > removed + 0.2} == {"green"}
