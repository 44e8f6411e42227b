"""One run at a time in an output folder.

The lock is a file with a counter that its holder raises every few seconds. Whoever finds one watches the counter by
its own clock, because the clocks of two nodes, or of one node before and after it was set, say nothing of each other.
"""

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from bert_distillation.errors import InputError
from bert_distillation.tracking import write_json

LOCK_FILE = "run.lock"
BEAT_SECONDS = 5.0
SETTLING_SECONDS = 0.2
LOOKS = 5  # at a lock that a mount cannot read, a beat apart
LARGEST_PROCESS = 2**31
EXPIRY_SECONDS = 150.0  # blobfuse shows another node's writes after 120 seconds, an Azure ML mount as it is told to


class RunLock:
    """Holds a folder for this process, from `with` to its end; refused where another run that lives holds it."""

    def __init__(self, folder: Path, beat_seconds: float = BEAT_SECONDS, expiry_seconds: float = EXPIRY_SECONDS):
        self.file = folder / LOCK_FILE
        self.beat_seconds, self.expiry_seconds = beat_seconds, expiry_seconds
        self.token, self.beats = uuid.uuid4().hex, 0
        self.released = threading.Event()

    def __enter__(self) -> "RunLock":
        is_taken_over = False
        while not self._take(is_taken_over):
            is_taken_over = True
            found = self._refuse_a_living_run()
            if self._read() == found:  # else another newcomer was quicker
                self.file.unlink(missing_ok=True)
        self.thread = threading.Thread(target=self._beat, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.released.set()
        self.thread.join()
        if read_lock(self.file).get("token") == self.token:
            self.file.unlink(missing_ok=True)

    def require(self) -> None:
        """Refuse to write any more if another run has taken the folder, as it may while this one was stopped."""
        for _ in range(LOOKS):
            try:
                is_ours = self._is_ours()
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                time.sleep(self.beat_seconds)
                continue
            if is_ours:
                return
            raise InputError(
                f"{self.file.parent} was taken by another run while this one stood still, or removed. This one ends."
            )
        raise InputError(
            f"{self.file} cannot be read ({reason}), so nothing says whether its folder is still this run's. "
            "See to the file system, and start again."
        )

    def _is_ours(self) -> bool:
        """Whether the lock is still this run's; an error where it cannot be read, which says neither."""
        try:
            content = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        if not isinstance(content, dict) or "token" not in content:
            raise ValueError("it is not a whole lock")
        return bool(content["token"] == self.token)

    def _take(self, is_taken_over: bool) -> bool:
        try:
            with self.file.open("x", encoding="utf-8") as stream:
                json.dump(self._content(), stream)
        except FileExistsError:
            return False
        if is_taken_over:  # perhaps by two at once: then the file is of the later one
            time.sleep(SETTLING_SECONDS)
        return read_lock(self.file).get("token") == self.token

    def _read(self) -> bytes | None:
        """What is in the file; None where there is none."""
        try:
            return self.file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            return b""

    def _content(self) -> dict[str, Any]:
        return {"place": this_place(), "process": os.getpid(), "token": self.token, "beats": self.beats}

    def _beat(self) -> None:
        while not self.released.wait(self.beat_seconds):
            try:
                if not self._is_ours():  # taken over while this process was stopped
                    return
                self.beats += 1
                write_json(self.file, self._content())
            except (OSError, ValueError):  # a full disk, a mount that is away: the next beat may find more
                continue

    def _refuse_a_living_run(self) -> bytes | None:
        """What is in the lock of a run that is dead."""
        found, lock = self._read(), read_lock(self.file)
        if found is None or (lock.get("place") == this_place() and not process_lives(lock.get("process"))):
            return found
        print(f"{self.file} is there: looking whether the run that left it still goes on", flush=True)
        deadline = time.monotonic() + self.expiry_seconds
        while time.monotonic() < deadline:
            time.sleep(min(self.beat_seconds / 5, self.expiry_seconds / 10))
            now = self._read()
            if now is None:
                return None
            if now != found and (lock := read_lock(self.file)):
                raise InputError(
                    f"{self.file.parent} is being written by another run (process {lock.get('process')} on "
                    f"{str(lock.get('place')).split()[0]}). Wait for its end, or give another folder."
                )
        return found


def read_lock(file: Path) -> dict[str, Any]:
    """What the lock says; nothing where there is none, or half of one."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def this_place() -> str:
    """Where a process number means something: the host, and in a container its own space of numbers."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def process_lives(number: object) -> bool:
    """Whether there is a process of this number here."""
    if not isinstance(number, int) or not 0 < number < LARGEST_PROCESS:
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
