from pathlib import Path

import httpx
import pytest
from rich.console import Console

from azureml_local import watch
from azureml_local.connection import Addresses
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.watch import JobState, NodeState, Watcher, duration


@pytest.fixture
def watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watcher:
    """A watcher whose workspace answers twice too late and then that the job has completed."""
    watcher = Watcher.__new__(Watcher)
    watcher._home = Home(tmp_path)
    node = NodeState("job", "job", "Completed", 1.0, "", tmp_path, "")
    answers = iter([httpx.ReadTimeout("late"), httpx.ConnectError("busy"), JobState(node, [node], {})])

    def look(name: str) -> JobState:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(watcher, "look", look)
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.0)
    return watcher


def test_a_workspace_that_answers_late_is_waited_for(watcher, monkeypatch):
    monkeypatch.setattr(Addresses, "read", lambda home: object())
    assert watcher.follow("job", Console(file=None, quiet=True)).job.status == "Completed"


def test_a_workspace_that_has_died_is_named_with_its_log(watcher, monkeypatch):
    monkeypatch.setattr(Addresses, "read", lambda home: None)
    with pytest.raises(InputError, match=r"no longer answers \(ReadTimeout\); see .*workspace\.log"):
        watcher.follow("job", Console(file=None, quiet=True))


def test_times_are_said_as_a_person_says_them():
    assert [duration(seconds) for seconds in (None, 3.21, 59.9, 60, 125)] == [
        "",
        "3.2 s",
        "59.9 s",
        "1 min 00 s",
        "2 min 05 s",
    ]
