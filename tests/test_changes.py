"""What becomes of jobs, told to a listener that has no room for it."""

import errno
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from azureml_local.disk import Reserve
from azureml_local.engine.changes import JobChange, Journal, why_given_up
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


def journal_of(status: str, listener: Forgetful, folder: Path) -> Journal:
    job = JobChange(name="job", parent=None, node="job", status=status)
    return Journal([job], listener, None, Reserve(folder / "reserve"))


def test_the_end_of_a_job_is_told_when_a_full_disk_has_room_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("azureml_local.engine.changes.PAUSE", 0.01)
    listener = Forgetful()
    journal = journal_of("NotStarted", listener, tmp_path)
    journal.tell("job", status="Running")  # the next change tells more
    end = threading.Thread(target=journal.end, args=("job", "Completed", None))
    end.start()
    until(lambda: listener.refused > 3)
    listener.room.set()
    end.join(20)
    assert listener.taken == ["Completed"]


def test_a_job_that_has_ended_is_not_cancelled_any_more(tmp_path: Path):
    listener = Forgetful()
    listener.room.set()
    journal = journal_of("Running", listener, tmp_path)
    journal.end("job", "Completed", None)
    journal.tell("job", status="CancelRequested")
    assert (listener.taken, journal["job"].status) == (["Completed"], "Completed")


def test_a_listener_with_a_bug_is_told_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    listener = Forgetful()
    monkeypatch.setattr(listener, "errors", [ZeroDivisionError()])
    journal = journal_of("Running", listener, tmp_path)
    journal.end("job", "Failed", "why")
    assert listener.refused == 1


def test_the_end_of_a_job_is_told_with_the_room_that_is_kept_for_it(tmp_path: Path):
    """Without waiting, the reserve being given back first."""
    reserve = tmp_path / "reserve"
    Reserve(reserve).fill()
    listener = Forgetful()
    listener.room = SimpleNamespace(is_set=lambda: not reserve.exists())
    journal_of("Running", listener, tmp_path).end("job", "Failed", "why")
    assert (listener.taken, listener.refused) == (["Failed"], 1)


def test_a_full_disk_is_known_behind_what_mlflow_says():
    def fails() -> None:
        try:
            raise sqlite3.OperationalError("database or disk is full")
        except sqlite3.OperationalError as error:
            raise RuntimeError("TEMPORARILY_UNAVAILABLE") from error

    with pytest.raises(RuntimeError) as raised:
        fails()
    assert why_given_up(raised.value) == "the disk of the workspace is full; make room and submit the job again"
    assert why_given_up(ValueError("odd")) == "the local workspace failed: ValueError('odd')"


def test_what_has_no_room_is_written_with_the_reserve_and_tried_no_third_time(tmp_path: Path):
    reserve, tried = Reserve(tmp_path / "reserve"), list[bool]()
    reserve.fill()

    def write() -> None:
        tried.append((tmp_path / "reserve").exists())
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        reserve.insist(write)
    assert tried == [True, False]
