"""Online deployments on this machine: one real `azmlinfsrv` process each, on a loopback port of its own."""

from __future__ import annotations

import http.client
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from azureml_local.processes import Groups, ProcessGroup, end, inherited_variables, last_lines

PROBE_SECONDS = 2.0
DRAIN_SECONDS = 180.0  # for the last requests of a server: as long as Azure lets one take
LOG = "server.log"  # in the folder of a server
NO_CODE = Path(__file__).parent / "no_code"
STOPPED = "was stopped while it started"
LONGEST_TRACE = 1000  # lines
LAST_LINES = 20  # of a log, in a message
WRAPPED = "The above exception was the direct cause of the following exception:"

# The server binds every interface by itself. Handed a socket that listens already, the way systemd hands it over
# (number 3, for the process that LISTEN_PID names), it takes that one and binds nothing.
_HAND_OVER = 'exec 3<&"$0"; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'


class ServingError(RuntimeError):
    """A deployment that does not serve; its text ends with the last lines of the server's log."""


@dataclass(frozen=True, kw_only=True)
class DeploymentSpec:
    """What to serve: a model, and the scoring script that answers for it."""

    name: str
    model: Path | None = None  # a registered model's file or folder; lies in AZUREML_MODEL_DIR under its own name
    code: Path | None = None
    scoring_script: str | None = None  # relative to `code`
    environment_variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Server:
    process: ProcessGroup
    port: int
    folder: Path  # its code, its model and its log
    requests: set[object] = field(default_factory=set, compare=False)  # that it has not answered yet

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Deployments:
    """The running deployments of a workspace. Safe to use from several threads."""

    def __init__(self, home: Path, start_timeout: float = 300.0) -> None:
        """Keep working folders and logs under `home`/deployments; a server has `start_timeout` seconds to answer."""
        self._home = home.resolve()
        self._start_timeout = start_timeout
        self._groups = Groups()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # told when a request has been answered, or a start has ended
        self._servers: dict[tuple[str, str], _Server] = {}
        self._starting: dict[tuple[str, str], _Server | None] = {}  # None: not launched yet
        self._stopped: set[tuple[str, str]] = set()  # of those that are starting
        self._latest: dict[tuple[str, str], Path] = {}  # the folders of what was started last, also if it failed

    def start(self, endpoint: str, deployment: DeploymentSpec) -> None:
        """Serve a deployment, in place of one of the same name, and return when its server answers.

        Raises ServingError when it cannot be served or does not come up; what ran before then goes on serving.
        """
        deployment = with_script(deployment)
        script = _scoring_script(deployment)
        key = (endpoint, deployment.name)
        with self._lock:
            if key in self._starting:
                raise ServingError(f'deployment "{deployment.name}" is being started already')
            self._starting[key] = None
        try:
            self._serve(key, deployment, script)
        finally:
            with self._lock:
                del self._starting[key]
                self._stopped.discard(key)
                self._changed.notify_all()

    def stop(self, endpoint: str, deployment: str) -> None:
        """End a deployment's server, also one that is starting; one that is not there is left alone."""
        key = (endpoint, deployment)
        with self._lock:
            servers = [self._servers.pop(key, None), self._starting.get(key)]
            if key in self._starting:
                self._stopped.add(key)
        self._end_when_done([server for server in servers if server])

    def forget(self, endpoint: str, deployment: str) -> None:
        """`stop`, and remove what it has on the disk, which keeps the model's files as long as it is there."""
        key = (endpoint, deployment)
        self.stop(endpoint, deployment)
        with self._lock:
            self._changed.wait_for(lambda: key not in self._starting, DRAIN_SECONDS)
            self._latest.pop(key, None)
        shutil.rmtree(self._home.joinpath("deployments", *key), ignore_errors=True)

    def address(self, endpoint: str, deployment: str) -> str:
        """The server's base URL, `http://127.0.0.1:<port>`; `/score` takes requests, `/` answers when it is healthy.

        Raises KeyError for a deployment that is not running.
        """
        with self._lock:
            return self._servers[endpoint, deployment].address

    @contextmanager
    def in_use(self, endpoint: str, deployment: str) -> Iterator[str]:
        """`address`, of a server that is neither replaced nor stopped before the caller is done."""
        request = object()
        with self._lock:
            server = self._servers[endpoint, deployment]
            server.requests.add(request)
        try:
            yield server.address
        finally:
            with self._lock:
                server.requests.discard(request)
                self._changed.notify_all()

    def log(self, endpoint: str, deployment: str, lines: int = 100) -> str:
        """The last lines that the server has written, also after it was stopped or failed; empty when unknown."""
        with self._lock:
            folder = self._latest.get((endpoint, deployment))
        return last_lines(folder / LOG, lines) if folder else ""

    def close(self) -> None:
        """End every server."""
        with self._lock:
            servers = [*self._servers.values(), *self._starting.values()]
            self._servers.clear()
            self._stopped.update(self._starting)
        end(server.process for server in servers if server)
        self._groups.close()

    def _folders(self, key: tuple[str, str]) -> tuple[Path, Path]:
        place = self._home.joinpath("deployments", *key)
        return place / "a", place / "b"

    def _new_folder(self, key: tuple[str, str]) -> Path:
        """An empty one of the deployment's two folders: the one that no running server uses."""
        with self._lock:
            running = self._servers.get(key)
            first, second = self._folders(key)
            folder = self._latest[key] = second if running and running.folder == first else first
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def _serve(self, key: tuple[str, str], deployment: DeploymentSpec, script: str) -> None:
        folder = self._new_folder(key)
        _lay_out(folder, deployment)
        server = self._start_server(folder, deployment, script)
        with self._lock:
            self._starting[key] = server
            is_stopped = key in self._stopped
        problem = STOPPED if is_stopped else self._wait_until_healthy(server) or self._switch(key, server)
        if problem:
            end([server.process])
            said = _said(last_lines(folder / LOG, LONGEST_TRACE))
            raise ServingError(f'deployment "{deployment.name}" {problem}{said}')

    def _switch(self, key: tuple[str, str], server: _Server) -> str:
        """Let a server answer for its deployment, and end the one that did so; what went wrong, or nothing."""
        with self._lock:
            if key in self._stopped:
                return STOPPED
            replaced = self._servers.get(key)
            self._servers[key] = server
        if replaced:
            self._end_when_done([replaced])
        for folder in self._folders(key):
            if folder != server.folder:
                shutil.rmtree(folder, ignore_errors=True)
        return ""

    def _end_when_done(self, servers: list[_Server]) -> None:
        """End servers that get no more requests, after they have answered those that they have."""
        with self._lock:
            self._changed.wait_for(lambda: not any(server.requests for server in servers), DRAIN_SECONDS)
        end(server.process for server in servers)

    def _start_server(self, folder: Path, deployment: DeploymentSpec, script: str) -> _Server:
        variables = inherited_variables(self._home) | deployment.environment_variables
        variables |= {"AML_APP_ROOT": str(folder / "code"), "AZUREML_MODEL_DIR": str(folder / "model")}
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            command = [str(Path(sys.executable).parent / "azmlinfsrv"), "--port", str(port)]
            command += ["--entry_script", str(folder / "code" / script)]
            process = ProcessGroup(
                ["/bin/bash", "-c", _HAND_OVER, str(listener.fileno()), *command],
                groups=self._groups,
                folder=folder / "code",
                variables=variables,
                log=folder / LOG,
                pass_fds=[listener.fileno()],
            )
        return _Server(process, port, folder)

    def _wait_until_healthy(self, server: _Server) -> str:
        """Ask until the server answers; what went wrong, or nothing."""
        deadline = time.monotonic() + self._start_timeout
        while time.monotonic() < deadline:
            if _healthy(server.port):
                return ""
            if not server.process.running:
                return f"ended with status {server.process.wait()} before it served"
        return f"did not answer within {self._start_timeout:g} seconds"


def _healthy(port: int) -> bool:
    """Whether the server answers; the socket takes a request before there is a server, and keeps it waiting."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except TimeoutError:
        return False
    except (OSError, http.client.HTTPException):  # refused or reset: nobody listens any more, or not yet
        time.sleep(0.1)
        return False
    finally:
        connection.close()


def with_script(deployment: DeploymentSpec) -> DeploymentSpec:
    """The deployment itself or, of an MLflow model without code, the one with the script that serves such models."""
    model = deployment.model
    if deployment.code or deployment.scoring_script or not (model and (model / "MLmodel").is_file()):
        return deployment
    variables = deployment.environment_variables | {"MLFLOW_MODEL_FOLDER": model.name}
    return replace(deployment, code=NO_CODE, scoring_script="score.py", environment_variables=variables)


def _said(log: str) -> str:
    """What the scoring script failed with, as the sentence goes on, and the lines of the log that end with that.

    The server wraps it and then lists the model's files, which may be more than anybody reads.
    """
    before, is_wrapped, _ = log.rpartition(WRAPPED)
    lines = (before if is_wrapped else log).strip().splitlines()
    reason = f": {lines[-1].strip()}" if is_wrapped and lines else ""
    what = "its log says" if is_wrapped else "its log ends with"
    return "\n".join([f"{reason}; {what}:", *lines[-LAST_LINES:]])


def _scoring_script(deployment: DeploymentSpec) -> str:
    """The scoring script, checked to be there."""
    if deployment.code is None or deployment.scoring_script is None:
        raise ServingError(
            f'deployment "{deployment.name}" has no scoring script, and only an MLflow model is served without one: '
            "add code_configuration with code and scoring_script"
        )
    if not (deployment.code / deployment.scoring_script).is_file():
        raise ServingError(
            f'deployment "{deployment.name}": there is no scoring script "{deployment.scoring_script}" in its code'
        )
    if deployment.model and not deployment.model.exists():
        raise ServingError(f'deployment "{deployment.name}": its model is not at {deployment.model}')
    return deployment.scoring_script


def _lay_out(folder: Path, deployment: DeploymentSpec) -> None:
    """A copy of the code of the server's own, and the model under its own name, as real folders of linked files.

    A scoring script searches the model's folder, and `Path.rglob` does not look behind a link to a folder.
    """
    assert deployment.code
    (folder / "model").mkdir(parents=True)
    shutil.copytree(deployment.code, folder / "code")
    if deployment.model:
        target = folder / "model" / deployment.model.name
        if deployment.model.is_dir():
            shutil.copytree(deployment.model, target, copy_function=_link_or_copy)
        else:
            _link_or_copy(deployment.model, target)


def _link_or_copy(source: str | Path, target: str | Path) -> None:
    """Give a file, or the one that a symbolic link leads to, a second name; a copy where the file system has none."""
    source = Path(source).resolve()
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
