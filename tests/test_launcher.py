"""A workspace that starts or ends while somebody asks it to."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi import FastAPI

from azureml_local import disk, launcher, server
from azureml_local.connection import Addresses, client_environment, is_held
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.identity import read_secret
from local_commands import azureml_local, command_line
from small_pipelines import until

# Holds the workspace and will not listen.
DEAF = """
import fcntl, os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print(os.getpid(), file=lock, flush=True)
time.sleep(60)
"""


def test_down_ends_a_workspace_that_is_still_starting(tmp_path: Path):
    home = Home(tmp_path / "home")
    up = subprocess.Popen(command_line("up", home=home.path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: is_held(home))
    assert Addresses.read(home) is None
    assert "is down" in azureml_local("down", home=home.path).stdout
    assert not is_held(home)
    up.wait(30)
    assert not is_held(home)


def test_stop_returns_when_a_workspace_that_had_to_be_killed_holds_nothing_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(launcher, "START_TIMEOUT", 0.1)
    monkeypatch.setattr(launcher, "STOP_TIMEOUT", 0.1)
    home = Home(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", DEAF, str(home.lock)])
    until(lambda: is_held(home) and home.lock.read_text().endswith("\n"))
    assert launcher.stop(home)
    assert not is_held(home)
    assert process.wait(5) == -9
    assert not launcher.stop(home)


def test_stop_leaves_a_workspace_alone_that_was_started_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launcher, "START_TIMEOUT", 0.1)
    monkeypatch.setattr(launcher, "PAUSE", 0.5)  # between two looks the next one has the lock
    home = Home(tmp_path)
    old = subprocess.Popen([sys.executable, "-c", DEAF.replace("SIG_IGN", "SIG_DFL"), str(home.lock)])
    until(lambda: is_held(home) and home.lock.read_text().endswith("\n"))
    following = DEAF.replace('"w"', '"a"').replace("fcntl.flock", "print('waits', flush=True); fcntl.flock")
    following = following.replace("print(os", "lock.truncate(0); print(os")
    new = subprocess.Popen([sys.executable, "-c", following, str(home.lock)], stdout=subprocess.PIPE)
    try:
        assert new.stdout.readline() == b"waits\n"
        assert launcher.stop(home)
        assert old.wait(5) == -signal.SIGTERM
        until(lambda: is_held(home))
        assert new.poll() is None
    finally:
        new.kill()
        new.communicate()


def test_up_waits_for_a_workspace_that_ends(tmp_path: Path):
    home, job = Home(tmp_path / "home"), tmp_path / "job.yml"
    job.write_text("{type: command, command: trap '' TERM; echo deaf; sleep 60, environment: {image: any}}\n")
    azureml_local("run", job, "--detach", home=home.path)
    before = Addresses.read(home)
    assert before
    logs = home.path / "jobs"
    until(lambda: any("deaf" in log.read_text() for log in logs.rglob("std_log.txt")))
    os.kill(before.pid, signal.SIGTERM)
    until(lambda: Addresses.read(home) is None)
    assert is_held(home)
    assert f"The workspace at {home.path} is up" in azureml_local("up", home=home.path).stdout
    after = Addresses.read(home)
    assert after
    assert after.pid != before.pid
    assert launcher.stop(home)


def is_used(home: Home) -> bool:
    """Whether a command holds the lock of those that use the workspace."""
    with home.users.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_of_a_workspace_that_was_deleted_meanwhile_nobody_is_the_last_user(tmp_path: Path):
    home = Home(tmp_path / "home")
    with launcher.in_use(home) as first:
        read_secret(home.secret)
        with launcher.at_rest(home):
            disk.remove(home)
        with launcher.in_use(home) as second:
            assert not first.is_last()
            assert second.is_last()


def test_a_workspace_that_is_deleted_while_another_command_waits_for_it_is_made_anew(tmp_path: Path):
    home = Home(tmp_path / "home")
    home.create()
    read_secret(home.secret)
    with ThreadPoolExecutor() as pool:
        with launcher.at_rest(home):
            up = pool.submit(azureml_local, "up", home=home.path)
            until(lambda: is_used(home))
            disk.remove(home)
        assert "is up" in up.result(60).stdout
    with launcher.at_rest(home) as was_up:
        assert was_up
        disk.remove(home)
    with launcher.at_rest(home) as was_up:
        assert not was_up


def test_nobody_starts_a_workspace_while_it_is_at_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launcher, "START_TIMEOUT", 0.2)
    home = Home(tmp_path / "home")
    home.create()
    home.log.write_text("at rest")
    with launcher.at_rest(home) as was_up:
        assert not was_up
        with pytest.raises(InputError, match="did not start"):
            launcher.start(home)
    assert not is_held(home)


@pytest.mark.parametrize(("code", "status"), [(DEAF.replace("SIG_IGN", "SIG_DFL"), -15), (DEAF, -9)])
def test_a_workspace_that_does_not_come_up_in_time_is_ended(
    code: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    started: list[subprocess.Popen] = []

    def spawn(home: Home, *_: object) -> subprocess.Popen:
        home.log.write_text("it is slow")
        started.append(subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "own.lock")]))
        until(lambda: (tmp_path / "own.lock").exists() and (tmp_path / "own.lock").read_text().endswith("\n"))
        return started[0]

    monkeypatch.setattr(launcher, "_spawn", spawn)
    monkeypatch.setattr(launcher, "START_TIMEOUT", 1)
    monkeypatch.setattr(launcher, "KILL_TIMEOUT", 0.2)
    with pytest.raises(InputError, match="did not start"):
        launcher.start(Home(tmp_path / "home"))
    assert started[0].poll() == status


def test_two_who_start_a_workspace_at_once_find_the_same(tmp_path: Path):
    home = Home(tmp_path / "home")
    both = [subprocess.Popen(command_line("up", home=home.path), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [up.communicate(timeout=60)[0] for up in both]
    assert sorted("was already up" in one for one in said) == [False, True]
    started = time.monotonic()
    assert launcher.stop(home)
    assert time.monotonic() - started < launcher.STOP_TIMEOUT


def test_a_workspace_does_not_end_under_another_command_that_needs_it(tmp_path: Path):
    home = Home(tmp_path / "home")
    with launcher.in_use(home) as first:
        with launcher.in_use(home):
            assert not first.is_last()
        assert first.is_last()
        with ThreadPoolExecutor() as pool:  # a newcomer waits for the one who ends the workspace
            use = launcher.in_use(home)
            newcomer = pool.submit(use.__enter__)
            with pytest.raises(TimeoutError):
                newcomer.result(timeout=0.2)
            fcntl.flock(first._lock, fcntl.LOCK_UN)
            assert newcomer.result(timeout=20).is_last()


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Addresses]:
    """A workspace that has just ended, and where it was."""
    home = Home(tmp_path_factory.mktemp("ended") / "home")
    azureml_local("up", home=home.path)
    addresses = Addresses.read(home)
    assert addresses
    launcher.stop(home)
    return home, addresses


def test_a_workspace_that_does_not_answer_the_sdk_is_one_sentence(ended: tuple[Home, Addresses]):
    home, addresses = ended
    code = f"from azureml_local.client import connect; connect(Home({home.path!r}), {addresses!r})"
    names = "from pathlib import PosixPath; from azureml_local.connection import *; from azureml_local.home import Home"
    done = subprocess.run([sys.executable, "-c", f"{names}; {code}"], capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"azureml_local.errors.InputError: The workspace at {home.path} does not answer the SDK at ")


def test_a_proxys_exceptions_are_kept_by_both_names(ended: tuple[Home, Addresses], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_PROXY", "a.example, b.example")
    monkeypatch.setenv("no_proxy", "b.example,c.example")
    found = client_environment(*ended)
    assert found["NO_PROXY"] == found["no_proxy"] == "a.example,b.example,c.example,127.0.0.1,localhost"


def test_a_server_leaves_the_signals_to_its_process():
    async def handlers() -> list[object]:
        served = server._server(FastAPI(), None)
        before = signal.getsignal(signal.SIGTERM)
        task = asyncio.create_task(served.serve([server._listen(0)]))
        while not served.started:
            await asyncio.sleep(0.01)
        during = signal.getsignal(signal.SIGTERM)
        served.should_exit = True
        await task
        return [before, during, signal.getsignal(signal.SIGTERM)]

    assert len(set(asyncio.run(handlers()))) == 1
