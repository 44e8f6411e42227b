"""What a watcher asks of a workspace while it follows a job."""

from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from azureml_local.errors import InputError
from azureml_local.home import Home
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
