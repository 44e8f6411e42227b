"""What a watcher asks of a workspace while it follows a job."""

from collections import Counter
from typing import Any

from azureml_local.watch import STEP, Watcher


class CountingWatcher(Watcher):
    """Asks a dictionary, and counts."""

    def __init__(self, children: dict[str, list[dict[str, Any]]]) -> None:
        self.children, self.asked = children, Counter()
        self._ended = {}

    def _get(self, path: str) -> dict[str, Any]:
        self.asked[path] += 1
        return {"value": self.children[path.partition("/")[0]]}


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
