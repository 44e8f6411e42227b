import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bert_distillation.errors import InputError
from bert_distillation.run_lock import LOCK_FILE, RunLock, read_lock, this_place
from small_pipelines import until

QUICK = {"beat_seconds": 0.05, "expiry_seconds": 0.5}


def leave_a_lock(folder: Path, place: str, process: int) -> None:
    content = {"place": place, "process": process, "token": "of another run", "beats": 7}
    (folder / LOCK_FILE).write_text(json.dumps(content))


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_run_in_the_same_folder_is_refused_with_the_process_that_holds_it(tmp_path: Path):
    with RunLock(tmp_path, **QUICK):
        with pytest.raises(InputError, match=r"is being written by another run \(process \d+ on .*Wait for its end"):
            RunLock(tmp_path, **QUICK).__enter__()
        assert (tmp_path / LOCK_FILE).is_file(), "the one that was refused takes nothing away"
    assert not (tmp_path / LOCK_FILE).exists()
    with RunLock(tmp_path, **QUICK):
        pass


def test_the_lock_of_a_process_that_is_gone_is_taken_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    leave_a_lock(tmp_path, this_place(), ended_process())
    with RunLock(tmp_path, beat_seconds=60, expiry_seconds=600):
        assert read_lock(tmp_path / LOCK_FILE)["token"] != "of another run"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("process", [1, 999_999_999])
def test_the_lock_of_another_node_expires_when_its_counter_stands_still(process: int, tmp_path: Path):
    leave_a_lock(tmp_path, "another-node", process)
    start = time.monotonic()
    with RunLock(tmp_path, **QUICK):
        assert time.monotonic() - start >= QUICK["expiry_seconds"]


def test_the_lock_of_another_node_holds_as_long_as_its_counter_rises_whatever_the_clocks_say(tmp_path: Path):
    leave_a_lock(tmp_path, "another-node", 1)
    ended = threading.Event()

    def beat() -> None:
        content = json.loads((tmp_path / LOCK_FILE).read_text())
        while not ended.wait(0.02):
            content["beats"] += 1
            (tmp_path / ".beat").write_text(json.dumps(content))
            (tmp_path / ".beat").replace(tmp_path / LOCK_FILE)

    other = threading.Thread(target=beat)
    other.start()
    try:
        with pytest.raises(InputError, match="process 1 on another-node"):
            RunLock(tmp_path, **QUICK).__enter__()
    finally:
        ended.set()
        other.join()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"x"'])
def test_half_a_lock_expires_like_any_other(content: str, tmp_path: Path):
    (tmp_path / LOCK_FILE).write_text(content)
    with RunLock(tmp_path, **QUICK):
        assert read_lock(tmp_path / LOCK_FILE)["place"] == this_place()


def test_a_run_that_lost_its_lock_while_it_was_stopped_leaves_the_others_alone(tmp_path: Path):
    with RunLock(tmp_path, **QUICK):
        leave_a_lock(tmp_path, "another-node", 1)
        time.sleep(0.2)
        assert read_lock(tmp_path / LOCK_FILE)["place"] == "another-node"
    assert read_lock(tmp_path / LOCK_FILE)["place"] == "another-node"


@pytest.fixture
def mount(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A network mount that refuses as many reads as the number in the list."""
    failures, read = [0], Path.read_text

    def read_text(path: Path, *arguments: object, **named: object) -> str:
        if path.name == LOCK_FILE and failures[0] > 0:
            failures[0] -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", read_text)
    return failures


def test_a_lock_that_cannot_be_read_for_a_while_is_not_lost(mount: list[int], tmp_path: Path):
    with RunLock(tmp_path, **QUICK) as lock:
        mount[0] = 2
        until(lambda: mount[0] == 0)
        before = lock.beats
        until(lambda: read_lock(tmp_path / LOCK_FILE)["beats"] > before)
        mount[0] = 2
        lock.require()
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_lock_that_can_no_longer_be_read_ends_the_run_with_the_reason(mount: list[int], tmp_path: Path):
    with RunLock(tmp_path, **QUICK) as lock:
        mount[0] = 10**9
        with pytest.raises(InputError, match=r"run\.lock cannot be read \(Input/output error\), so .* start again"):
            lock.require()
        mount[0] = 0


@pytest.mark.parametrize("process", ["abc", 10**20, -1, 0, None, [1]])
def test_a_lock_of_this_place_without_a_process_is_that_of_a_dead_run(process: object, tmp_path: Path):
    (tmp_path / LOCK_FILE).write_text(json.dumps({"place": this_place(), "process": process}))
    with RunLock(tmp_path, beat_seconds=60, expiry_seconds=600):
        pass


def test_of_two_that_find_a_dead_lock_at_once_one_gets_the_folder(tmp_path: Path):
    held, most, refused = [0], [0], []
    gate = threading.Barrier(2)

    def enter() -> None:
        gate.wait()
        try:
            with RunLock(tmp_path, beat_seconds=0.05, expiry_seconds=2.0):
                held[0] += 1
                most[0] = max(most[0], held[0])
                time.sleep(0.6)
                held[0] -= 1
        except InputError as error:
            refused.append(str(error))

    for _ in range(5):
        leave_a_lock(tmp_path, this_place(), ended_process())
        runs = [threading.Thread(target=enter) for _ in range(2)]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
    assert most[0] == 1
    assert len(refused) == 5
