"""A job as a person follows it: its nodes, their states, times and last words."""

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from azureml_local.arm_ids import WORKSPACE_ID
from azureml_local.assets import DEFAULT_OUTPUT_PATH, OUTPUT_PATH
from azureml_local.blobs import ARTIFACTS, BLOBSTORE
from azureml_local.connection import Addresses, is_held
from azureml_local.engine.changes import FINAL
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.identity import Identity, read_secret
from azureml_local.log_tail import last_line
from azureml_local.trials import Trials, trials_of

POLL_SECONDS = 0.5
PATIENCE = 300.0  # seconds without an answer
STEP = "azureml.StepRun"  # the run type of a job without jobs in it


@dataclass(frozen=True)
class NodeState:
    """A node, or the whole job, at one moment."""

    name: str
    job: str
    status: str
    seconds: float | None
    error: str
    logs: Path
    last_line: str
    reused: bool = False
    warnings: tuple[str, ...] = ()
    parent: str | None = None
    trials: Trials = field(default_factory=Trials)


@dataclass(frozen=True)
class JobState:
    """A job at one moment; a stand-alone job is its own only node."""

    job: NodeState
    nodes: list[NodeState]
    outputs: dict[str, Path]

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.job.status in FINAL


class Watcher:
    """Asks a running workspace what has become of a job."""

    def __init__(self, home: Home, addresses: Addresses) -> None:
        self._home = home
        self._addresses = addresses
        self._ended: dict[str, list[dict[str, Any]]] = {}  # the jobs in one in which nothing will change any more
        self._identity = Identity(read_secret(home.secret))
        self._http = httpx.Client(
            base_url=f"{addresses.url}/history/v1.0{WORKSPACE_ID}/runs/",
            auth=self._signed,
            verify=ssl.create_default_context(cafile=str(home.bundle)),
            trust_env=False,
            timeout=30,
        )

    def _signed(self, request: httpx.Request) -> httpx.Request:
        """With a token of its own: a job may take longer than a token lives."""
        token, _ = self._identity.issue_token("azureml-local")
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    def look(self, name: str) -> JobState:
        """The job now."""
        run = self._get(name)
        folder = self._home.blobs / BLOBSTORE
        outputs = {
            output: (folder / OUTPUT_PATH.format(job=name, output=output)).resolve() for output in run["outputs"]
        }
        below = [self._state(child) for child in self._below(name)]
        return JobState(self._state(run), below or [self._state(run)], outputs)

    def _below(self, name: str, has_ended: bool = False) -> Iterator[dict[str, Any]]:
        """The jobs in a job, each followed by those in it."""
        children = self._ended.get(name) or self._get(name, "/children")["value"]
        if has_ended and all(child["status"] in FINAL for child in children):
            self._ended[name] = children
        for child in children:
            yield child
            if child["runType"] != STEP:
                yield from self._below(child["runId"], child["status"] in FINAL)

    def is_busy(self) -> bool:
        """Whether a job that was submitted has not ended; a workspace that lives and does not say it may have one."""
        try:
            reply = self._http.get(f"{self._addresses.url}{WORKSPACE_ID}/jobs")
            return any(job["properties"]["status"] not in FINAL for job in reply.json()["value"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return is_held(self._home)

    def follow(self, name: str, show: Callable[[JobState], None]) -> JobState:
        """Show a job, again and again, until it has ended."""
        answered = time.monotonic()
        while True:
            try:
                state = self.look(name)
            except httpx.TransportError as error:
                self._give_up_if_dead(error, silence=time.monotonic() - answered)
            else:
                answered = time.monotonic()
                show(state)
                if state.is_final:
                    return state
            time.sleep(POLL_SECONDS)

    def _give_up_if_dead(self, error: httpx.TransportError, silence: float) -> None:
        """Under load a workspace answers late; one that has died, or was started anew, does not answer at all."""
        if Addresses.read(self._home) != self._addresses or silence > PATIENCE:
            raise InputError(
                f"The workspace at {self._home.path} no longer answers ({type(error).__name__}); see "
                f"{self._home.log}. `{self._home.command('up')}` starts it again, and it still knows its jobs."
            ) from error

    def _get(self, name: str, below: str = "") -> dict[str, Any]:
        reply = self._http.get(quote(name, safe="") + below)
        if reply.status_code == httpx.codes.NOT_FOUND:
            raise InputError(f"The workspace at {self._home.path} has no job {name}.")
        if reply.is_error:
            raise InputError(
                f"The workspace at {self._home.path} could not say what has become of the job {name} "
                f"(status {reply.status_code}); its log is {self._home.log}."
            )
        return reply.json()

    def _state(self, run: dict[str, Any]) -> NodeState:
        message = (run["error"] or {}).get("error", {}).get("message", "")
        seconds = _seconds(run["startTimeUtc"], run["endTimeUtc"])
        logs = (self._home.blobs / ARTIFACTS / DEFAULT_OUTPUT_PATH.format(job=run["runId"])).resolve() / "user_logs"
        last = last_line(logs) if run["status"] == "Running" else ""
        reused = run["properties"].get("azureml.isreused") == "true"
        warnings = tuple(warning["message"] for warning in run.get("warnings") or ())
        trials = trials_of(run["tags"], run["properties"])
        own = (run["name"], run["runId"], run["status"], seconds, message, logs, last, reused, warnings)
        return NodeState(*own, run["parentRunId"], trials)


def _seconds(start: str | None, end: str | None) -> float | None:
    if not start:
        return None
    until = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return (until - datetime.fromisoformat(start)).total_seconds()
