"""Starts the workspace's process in the background, finds it again, and ends it."""

import contextlib
import fcntl
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx

from azureml_local.connection import BUNDLES, CLIENT_VARIABLES, Addresses, held, is_at, is_held, metadata_url
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.settings import DEFAULTS, Settings

START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 30.0
KILL_TIMEOUT = 5.0
PAUSE = 0.05  # between two looks
KEPT = "kept\n"


class Use:
    """One of the commands that need the workspace; one that was started for a command does not end under another."""

    def __init__(self, lock: IO[bytes], file: Path) -> None:
        self._lock, self._file = lock, file

    def is_last(self) -> bool:
        """Whether no other command needs it; from then on none begins to before this one is done."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return is_at(self._lock, self._file)  # else the workspace was deleted, and there is another one


@contextlib.contextmanager
def in_use(home: Home) -> Iterator[Use]:
    """Need the workspace: no command that started it ends it meanwhile. Waits for one that is ending it."""
    while True:
        _create(home)
        try:
            lock = home.users.open("ab")
        except FileNotFoundError:  # the workspace is just being deleted
            continue
        with lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if is_at(lock, home.users):
                yield Use(lock, home.users)
                return


@contextlib.contextmanager
def in_running(home: Home) -> Iterator[Addresses]:
    """Need the workspace that is up, as `in_use` does. Raises InputError when it is not up."""
    find(home)
    with in_use(home):
        yield find(home)  # one that was just ending has ended by now


def keep(home: Home) -> None:
    """Let the workspace stay up after the command that started it: somebody asked for it, or for an endpoint in it."""
    home.users.write_text(KEPT)


def is_kept(home: Home) -> bool:
    """Whether it stays up after the command that started it."""
    return home.users.read_text() == KEPT


def start(home: Home, settings: Settings = DEFAULTS) -> tuple[Addresses, bool]:
    """Make sure that the workspace is up; returns when it answers. The flag tells whether it was started now.

    Raises InputError where it does not start, and where it is up with other settings than those that are asked for.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        _create(home)  # it may be deleted meanwhile
        if running := Addresses.read(home):
            return _suited(home, running, settings), False
        with held(home) as lock:
            process = None if lock is None else _spawn(home, settings, lock)
        if process:
            return _started(home, process, deadline), True
        time.sleep(PAUSE)  # another one is starting, or ending
    raise _not_started(home)


def stop(home: Home) -> bool:
    """End the workspace with all that it runs; tells whether there was one. Returns when it has ended.

    Raises InputError where it does not end.
    """
    if not is_held(home):
        return False
    _wait(lambda: _holder(home) or not is_held(home), KILL_TIMEOUT)  # the number is written a moment after the start
    process = _holder(home)

    def has_ended() -> bool:
        return not is_held(home) or _holder(home) not in (None, process)  # then it is another one that holds it

    # One that is starting is ended when it is up: until then it does not listen to signals. One that ends already does
    # so by itself.
    _wait(lambda: Addresses.read(home) or has_ended(), START_TIMEOUT)
    for number, patience in ((signal.SIGTERM, STOP_TIMEOUT), (signal.SIGKILL, KILL_TIMEOUT)):
        if process and not has_ended():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        if _wait(has_ended, patience):
            return True
    raise InputError(f"The workspace at {home.path} does not end; its log is {home.log}.")


@contextlib.contextmanager
def at_rest(home: Home) -> Iterator[bool]:
    """End the workspace, and let none start before the caller is done; yields whether it was up."""
    was_up = False
    while True:
        was_up |= stop(home)
        if not home.path.is_dir():  # somebody else has deleted it
            yield was_up
            return
        with held(home) as lock:
            if lock is not None:
                yield was_up
                return


def find(home: Home) -> Addresses:
    """The running workspace. Raises InputError when it is not up."""
    running = Addresses.read(home)
    if not running:
        raise InputError(f"No workspace is up at {home.path}; start it with `{home.command('up')}`.")
    return running


def _create(home: Home) -> None:
    try:
        home.create()
    except OSError as error:
        why = "it is no folder" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise InputError(f"Cannot keep a workspace at {home.path}: {why}. Choose another folder.") from error


def _spawn(home: Home, settings: Settings, lock: int) -> subprocess.Popen[bytes]:
    """The workspace's process. It holds the workspace from its first moment: it takes seconds to be up."""
    # The workspace must not think of itself as its own client; whom a company's shell trusts, its clients trust, too.
    variables = {
        name: value
        for name, value in os.environ.items()
        if name not in CLIENT_VARIABLES or (name in BUNDLES and not Path(value).is_relative_to(home.path))
    }
    arguments = [str(home.path), "--lock", str(lock), *settings.arguments()]
    with home.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "azureml_local.server", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.path,
            env=variables,
            start_new_session=True,
            pass_fds=[lock],
        )
    home.lock.write_text(str(process.pid))
    home.users.write_text("")
    return process


def _started(home: Home, process: subprocess.Popen[bytes], deadline: float) -> Addresses:
    try:
        while time.monotonic() < deadline and process.poll() is None:
            addresses = Addresses.read(home)
            if addresses and _answers(home, addresses):
                return addresses
            time.sleep(PAUSE)
        raise _not_started(home)
    except BaseException:  # Ctrl-C, too
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(KILL_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _holder(home: Home) -> int | None:
    """The process that holds the workspace, or was the last to do so and is still there."""
    try:
        process = int(home.lock.read_text())
        os.kill(process, 0)  # whether there is one
    except (OSError, ValueError):
        return None
    return process


def _wait(is_so: Callable[[], object], patience: float) -> bool:
    """Whether it is so within `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (so := is_so()) and time.monotonic() < deadline:
        time.sleep(PAUSE)
    return bool(so)


def _not_started(home: Home) -> InputError:
    return InputError(f"The workspace at {home.path} did not start; its log, {home.log}, ends with:\n{_tail(home)}")


def _suited(home: Home, running: Addresses, settings: Settings) -> Addresses:
    """The running workspace, unless other settings than its own are asked for; the defaults ask for nothing."""
    if settings not in (DEFAULTS, running.settings):
        has, asked = (" ".join(one.arguments()) or "the defaults" for one in (running.settings, settings))
        raise InputError(
            f"The workspace is up already with {has}, and {asked} is asked for: "
            f"end it with `{home.command('down')}` first."
        )
    return running


def _answers(home: Home, addresses: Addresses) -> bool:
    try:
        context = ssl.create_default_context(cafile=str(home.bundle))
        reply = httpx.get(metadata_url(home, addresses), verify=context, trust_env=False, timeout=5)
    except (httpx.HTTPError, OSError):
        return False
    return reply.status_code == 200


def _tail(home: Home, lines: int = 10) -> str:
    return "\n".join(home.log.read_text(errors="replace").splitlines()[-lines:])
