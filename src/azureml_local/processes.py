"""Processes that end as a whole: each in a group of its own, with a log, and gone when the workspace is gone."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from azureml_local import guardian

# What points at the workspace, at a job of another one, or at processes that these are not a part of.
_NOT_INHERITED = ("AZUREML_", "ARM_CLOUD_", "IDENTITY_", "MSI_", "MLFLOW_")
_NOT_INHERITED_NAMES = {
    "AZURE_TOKEN_CREDENTIALS",
    "RANK",
    "LOCAL_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
}
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
TAIL = 64 * 1024  # bytes in which the last lines of a log are looked for, if not more


class Groups:
    """The process groups of a workspace, watched by a guardian that ends them should the workspace die."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: set[guardian.Group] = set()
        self._guardian: subprocess.Popen[str] | None = None

    def add(self, group: guardian.Group) -> None:
        """Have a group ended with the workspace."""
        with self._lock:
            self._groups.add(group)
            self._tell(_line("+", group))

    def discard(self, group: guardian.Group) -> None:
        """Forget a group that has ended."""
        with self._lock:
            self._groups.discard(group)
            if self._guardian:  # once it was let go, it is not started anew to be told that there is nothing left
                self._tell(_line("-", group))

    def close(self) -> None:
        """Let the guardian go, which ends what is left."""
        with self._lock:
            if self._guardian:
                self._guardian.communicate()
                self._guardian = None

    def _tell(self, line: str) -> None:
        if self._guardian is None or self._guardian.poll() is not None:
            if self._guardian and self._guardian.stdin:
                self._guardian.stdin.close()
            self._guardian = _start_guardian()
            line = "".join(_line("+", group) for group in self._groups)
        assert self._guardian.stdin
        self._guardian.stdin.write(line)
        self._guardian.stdin.flush()


def _line(sign: str, group: guardian.Group) -> str:
    return f"{sign}{group.number} {group.marker}\n"


def _start_guardian() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", guardian.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # so that Ctrl-C does not reach it
    )


class ProcessGroup:
    """A command and all that it starts."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        groups: Groups,
        folder: Path,
        variables: Mapping[str, str],
        log: Path,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start `command` in `folder`; what it writes is appended to `log` as it comes."""
        log.parent.mkdir(parents=True, exist_ok=True)
        marker = secrets.token_hex(8)
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**variables, guardian.MARKER: marker},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        self.group = guardian.Group(self._process.pid, marker)
        self._groups = groups
        groups.add(self.group)

    @property
    def running(self) -> bool:
        """Whether the first process is still there."""
        return self._process.poll() is None

    def wait(self) -> int:
        """The exit status of the first process, once it has ended; negative for a signal."""
        return self._process.wait()


def end(processes: Iterable[ProcessGroup]) -> None:
    """End groups together, also what their first processes have left behind; nothing of them runs after this."""
    processes = list(processes)
    # The number of a process that was collected may be given to another, with which a group of others begins.
    taken = {one.group for one in processes if not one.running and guardian.signal_process(one.group.number, 0)}
    for process in processes:
        with suppress(RuntimeError):  # a system without room for a thread: the process is collected below
            # Until a process is reaped, its group still exists.
            threading.Thread(target=process.wait, daemon=True).start()
    guardian.end_groups([process.group for process in processes], taken)
    for process in processes:
        process.wait()
        process._groups.discard(process.group)


def inherited_variables(home: Path) -> dict[str, str]:
    """This process's environment variables without those that point at the workspace under `home`.

    The interpreter that runs the workspace comes first on PATH, so that `python` is it.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_NOT_INHERITED)
        and name not in _NOT_INHERITED_NAMES
        and not (name in _CERTIFICATES and Path(value).is_relative_to(home))
    }
    path = [str(Path(sys.executable).parent), *kept.get("PATH", os.defpath).split(os.pathsep)]
    return kept | {"PATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def last_lines(log: Path, count: int = 20) -> str:
    """The end of a log, which is not read as a whole; empty when there is none."""
    if not log.is_file():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - max(TAIL, 400 * count)))
        text = stream.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-count:])
