"""What becomes of jobs, told to a listener that has no room for it."""

import sqlite3
import threading
from typing import ClassVar

import pytest

from azureml_local.engine.changes import JobChange, Journal
from small_pipelines import until


class Forgetful:
    """Takes a change when there is room."""

    errors: ClassVar[list[Exception]] = [sqlite3.OperationalError("database or disk is full"), OSError(28, "full")]

    def __init__(self) -> None:
        self.room, self.taken, self.refused = threading.Event(), list[str](), 0

    def job_changed(self, change: JobChange) -> None:
        if not self.room.is_set():
            self.refused += 1
            raise self.errors[self.refused % len(self.errors)]
        self.taken.append(change.status)


def test_the_end_of_a_job_is_told_when_a_full_disk_has_room_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("azureml_local.engine.changes.PAUSE", 0.01)
    listener = Forgetful()
    journal = Journal([JobChange(name="job", parent=None, node="job", status="NotStarted")], listener, None)
    journal.tell("job", status="Running")  # the next change tells more
    end = threading.Thread(target=journal.end, args=("job", "Completed", None))
    end.start()
    until(lambda: listener.refused > 3)
    listener.room.set()
    end.join(20)
    assert listener.taken == ["Completed"]


def test_a_listener_with_a_bug_is_told_once(monkeypatch: pytest.MonkeyPatch):
    listener = Forgetful()
    monkeypatch.setattr(listener, "errors", [ZeroDivisionError()])
    journal = Journal([JobChange(name="job", parent=None, node="job", status="Running")], listener, None)
    journal.end("job", "Failed", "why")
    assert listener.refused == 1
