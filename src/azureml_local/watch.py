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
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

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
MOST_TRIALS = 20  # of a sweep in the summary
STEP = "azureml.StepRun"  # the run type of a job without jobs in it
STYLES = {"Completed": "green", "Failed": "red", "Canceled": "yellow", "Running": "cyan"}


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

    def follow(self, name: str, console: Console) -> JobState:
        """Show the job until it has ended: a live table on a terminal, elsewhere a line for each change."""
        if not console.is_terminal:
            return self._follow(name, _line_printer(console))
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            return self._follow(name, lambda state: live.update(node_table(state)))

    def _follow(self, name: str, show: Callable[[JobState], None]) -> JobState:
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
                f"{self._home.log}. `azureml-local up` starts it again, and it still knows its jobs."
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


def node_table(state: JobState) -> Table:
    """The nodes with their states and times; the last line of what runs."""
    table = Table(box=None, pad_edge=False)
    running = any(node.last_line for node in state.nodes)
    for heading in ("node", "status", "time", *(["last line"] if running else [])):
        table.add_column(heading, justify="right" if heading == "time" else "left", no_wrap=True, overflow="ellipsis")
    for node in state.nodes:
        status = Text(node.status + (", reused" if node.reused else ""), STYLES.get(node.status, ""))
        last_line = [Text(node.last_line)] if running else []
        table.add_row(Text(node.name), status, duration(node.seconds), *last_line)
    return table


def trial_tables(state: JobState) -> Iterator[Table]:
    """A table for each sweep: its trials with their metric and values, the best first."""
    everyone = {node.job: node for node in (state.job, *state.nodes)}
    for sweep in everyone.values():
        if sweep.trials.metric:
            yield _trial_table(sweep, [node for node in state.nodes if node.parent == sweep.job])


def _trial_table(sweep: NodeState, trials: list[NodeState]) -> Table:
    table = Table(box=None, pad_edge=False)
    names = list(dict.fromkeys(name for trial in trials for name in trial.trials.values))
    for heading in ("trial", sweep.trials.metric, *names, ""):
        table.add_column(Text(heading), overflow="fold")
    sign = -1 if sweep.trials.maximize else 1

    def place(trial: NodeState) -> tuple[bool, float]:
        """Where it stands: the best is first also among equals, and what has no metric is last."""
        score = trial.trials.score
        return trial.job != sweep.trials.best, float("inf") if score is None else sign * score

    for trial in sorted(trials, key=place)[:MOST_TRIALS]:
        said = "best" if trial.job == sweep.trials.best else "" if trial.status == "Completed" else trial.status
        values = [Text(short(trial.trials.values.get(name, ""))) for name in names]
        score = "" if trial.trials.score is None else short(repr(trial.trials.score))
        table.add_row(Text(trial.name), score, *values, Text(said, STYLES.get(trial.status, "")))
    if len(trials) > MOST_TRIALS:
        table.add_row(f"and {len(trials) - MOST_TRIALS} more")
    return table


def short(text: str) -> str:
    """A number with four digits where it has more; any other text as it is."""
    try:
        return f"{float(text):.4g}" if len(text) > 6 else text
    except ValueError:
        return text


def duration(seconds: float | None) -> str:
    """A time as a person says it."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _line_printer(console: Console) -> Callable[[JobState], None]:
    seen: dict[str, str] = {}

    def show(state: JobState) -> None:
        for node in state.nodes:
            if seen.get(node.name) != node.status and node.status not in ("NotStarted", "Queued", "Preparing"):
                seen[node.name] = node.status
                after = f" after {duration(node.seconds)}" if node.status in FINAL and node.seconds is not None else ""
                reused = ", reused" if node.reused else ""
                console.print(f"{node.name}: {node.status}{reused}{after}")

    return show


def _seconds(start: str | None, end: str | None) -> float | None:
    if not start:
        return None
    until = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return (until - datetime.fromisoformat(start)).total_seconds()
