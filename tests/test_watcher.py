"""What a watcher asks of a workspace while it follows a job."""

import time
from collections import Counter
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest

from azureml_local.connection import Addresses
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.identity import Identity, read_secret
from azureml_local.watch import STEP, Watcher


class CountingWatcher(Watcher):
    """Asks a dictionary, and counts."""

    def __init__(self, children: dict[str, list[dict[str, Any]]]) -> None:
        self.children, self.asked = children, Counter()
        self._ended = {}

    def _get(self, name: str, below: str = "") -> dict[str, Any]:
        self.asked[name + below] += 1
        return {"value": self.children[name]}


def run(name: str, status: str, kind: str = STEP) -> dict[str, Any]:
    return {"runId": name, "status": status, "runType": kind}


def test_what_has_ended_is_not_asked_for_again():
    pipelines = [run("done", "Completed", "pipeline"), run("busy", "Running", "pipeline")]
    watcher = CountingWatcher(
        {"job": pipelines, "done": [run("a", "Completed"), run("b", "Failed")], "busy": [run("c", "Running")]}
    )
    names = [[child["runId"] for child in watcher._below("job")] for _ in range(3)]
    assert names == [["done", "a", "b", "busy", "c"]] * 3
    assert watcher.asked == {"job/children": 3, "done/children": 1, "busy/children": 3}
    watcher.children["job"][1] = run("busy", "Completed", "pipeline")
    assert [child["status"] for child in watcher._below("job")][-1] == "Running"  # its own end comes with the next look
    watcher.children["busy"] = [run("c", "Completed")]
    assert [child["status"] for child in watcher._below("job")][-1] == "Completed"


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(404, "has no job a/b"), (501, r"could not say what has become of the job a/b \(status 501\); its log is")],
)
def test_an_answer_that_is_an_error_is_one_sentence(status: int, sentence: str, tmp_path: Path):
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        return httpx.Response(status)

    watcher = Watcher.__new__(Watcher)
    watcher._home = Home(tmp_path)
    watcher._http = httpx.Client(base_url="https://127.0.0.1/runs/", transport=httpx.MockTransport(answer))
    with pytest.raises(InputError, match=sentence):
        watcher.look("a/b")
    assert asked == ["/runs/a%2Fb"]


def test_a_job_may_take_longer_than_a_token_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = Home(tmp_path)
    home.certificates.mkdir()
    home.bundle.write_bytes(Path(certifi.where()).read_bytes())
    identity = Identity(read_secret(home.secret))

    def answer(request: httpx.Request) -> httpx.Response:
        is_ours = identity.is_token(request.headers["Authorization"].removeprefix("Bearer "))
        return httpx.Response(200 if is_ours else 401, json={"value": []})

    monkeypatch.setattr("azureml_local.identity.LIFETIME", 1)
    watcher = Watcher(home, Addresses(1, 2, 3))
    watcher._http._transport = httpx.MockTransport(answer)
    later = time.time() + 3600
    for moment in (time.time(), later):
        with monkeypatch.context() as patch:
            patch.setattr("time.time", lambda moment=moment: moment)
            patch.setattr("jwt.api_jwt.datetime", clock(moment))
            assert watcher._get("job", "/children") == {"value": []}


def clock(moment: float) -> type[datetime]:
    """A clock that stands still."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls.fromtimestamp(moment, tz)

    return Clock


@pytest.mark.parametrize(("lives", "answer"), [(True, 401), (True, 500), (False, 500)])
def test_a_workspace_that_lives_and_does_not_say_what_it_does_is_not_idle(
    lives: bool, answer: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("azureml_local.watch.is_held", lambda home: lives)
    watcher = Watcher.__new__(Watcher)
    watcher._home, watcher._addresses = Home(tmp_path), Addresses(1, 2, 3)
    transport = httpx.MockTransport(lambda _: httpx.Response(answer, json={"error": "?"}))
    watcher._http = httpx.Client(transport=transport)
    assert watcher.is_busy() is lives
