from pathlib import Path

import httpx
import pytest
from rich.console import Console

from azureml_local import watch
from azureml_local.connection import Addresses
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.trials import Trials
from azureml_local.watch import JobState, NodeState, Watcher, duration, trial_tables


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


def test_the_trials_of_a_sweep_are_listed_with_their_values_the_best_first(tmp_path: Path):
    def state(name: str, status: str, parent: str | None, trials: Trials) -> NodeState:
        return NodeState(name, f"job-{name}", status, 1.0, "", tmp_path, "", parent=parent, trials=trials)

    sweep = state("tune", "Completed", "job", Trials(metric="accuracy", maximize=True, best="job-tune.2"))
    trials = [
        state("tune.1", "Completed", sweep.job, Trials(values={"rate": "0.1", "depth": "2"}, score=0.5)),
        state("tune.2", "Completed", sweep.job, Trials(values={"rate": "0.012345678", "depth": "4"}, score=0.912345)),
        state("tune.3", "Failed", sweep.job, Trials(values={"rate": "7", "depth": "2"})),
    ]
    job = state("pipeline", "Completed", None, Trials())
    console = Console(width=60)
    with console.capture() as shown:
        [table] = trial_tables(JobState(job, [sweep, *trials], {}))
        console.print(table)
    assert [line.split() for line in shown.get().splitlines()] == [
        ["trial", "accuracy", "rate", "depth"],
        ["tune.2", "0.9123", "0.01235", "4", "best"],
        ["tune.1", "0.5", "0.1", "2"],
        ["tune.3", "7", "2", "Failed"],
    ]
