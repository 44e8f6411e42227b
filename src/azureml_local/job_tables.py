"""A job as a terminal shows it: a live table while it runs, and tables of its nodes and trials when it has ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from azureml_local.engine.changes import FINAL
from azureml_local.watch import JobState, NodeState, Watcher

MOST_TRIALS = 20  # of a sweep in the summary
QUIET = 5.0  # seconds in which a job may wait without a word
LONGEST_NAME = 36  # beside last lines
SPARE_LINES = 3  # of a terminal: the heading, the count of what is left out, and the cursor's own
STYLES = {"Completed": "green", "Failed": "red", "Canceled": "yellow", "Running": "cyan"}
WAITING = ("NotStarted", "Queued")


def follow(watcher: Watcher, name: str, console: Console) -> JobState:
    """Show a job until it has ended: a live table on a terminal, elsewhere a line for each change."""
    if not console.is_terminal:
        return watcher.follow(name, LinePrinter(console).show)
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        return watcher.follow(name, lambda state: live.update(live_table(state, console.height)))


def live_table(state: JobState, height: int) -> Table:
    """The nodes with their states and times, what runs also with its last line; no higher than the terminal."""
    shown = most_telling(state.nodes, height - SPARE_LINES)
    table = _nodes(shown, with_last_lines=any(node.last_line for node in shown))
    if left_out := Counter(node.status for node in state.nodes if node not in shown):
        counts = ", ".join(f"{count} {status}" for status, count in left_out.items())
        table.add_row(Text("and more", "dim"), Text(counts, "dim"))
    return table


def most_telling(nodes: list[NodeState], count: int) -> list[NodeState]:
    """The `count` nodes to show where there is no room for all, in their order.

    What runs or has failed comes before what waits, the next first, and that before what has ended, the last first.
    """

    def rank(place: int) -> tuple[int, int]:
        status = nodes[place].status
        if status in WAITING:
            return 1, place
        return (2, -place) if status in FINAL and status != "Failed" else (0, place)

    places = sorted(range(len(nodes)), key=rank)[: max(1, count)]
    return [nodes[place] for place in sorted(places)]


def node_table(state: JobState) -> Table:
    """All nodes with their states and times."""
    return _nodes(state.nodes)


def _nodes(nodes: list[NodeState], with_last_lines: bool = False) -> Table:
    """Names, states and times take what they need, and the last lines what is left of the width."""
    table = Table(box=None, pad_edge=False, expand=with_last_lines)
    for heading in ("node", "status", "time", *(["last line"] if with_last_lines else [])):
        table.add_column(
            heading,
            justify="right" if heading == "time" else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if heading == "last line" else None,
            max_width=LONGEST_NAME if heading == "node" and with_last_lines else None,
        )
    for node in nodes:
        status = Text(node.status + _reused(node), STYLES.get(node.status, ""))
        last_line = [Text(node.last_line)] if with_last_lines else []
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


def status_line(node: NodeState) -> str:
    """What a node, or the whole job, is; once it has ended, also the time that it took, if it ever began."""
    after = f" after {duration(node.seconds)}" if node.status in FINAL and node.seconds is not None else ""
    return f"{node.name}: {node.status}{_reused(node)}{after}"


def duration(seconds: float | None) -> str:
    """A time as a person says it."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


class LinePrinter:
    """Prints a line for each change of a job, and one for what makes it wait long."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, str] = {}
        self._since: dict[str, float] = {}

    def show(self, state: JobState) -> None:
        """Print what is new in a job's state."""
        for node in state.nodes:
            if node.status in ("Running", *FINAL):
                self._say(node.job, node.status, status_line(node))
            elif node.status == "Preparing" and self._lasts(f"{node.job} prepares"):
                place = node.logs.parent / "system_logs"
                self._say(node.job, node.status, f"{node.name}: Preparing its environment; the log is in {place}")
        if not _waits(state):
            self._since.pop(state.job.job, None)
        elif self._lasts(state.job.job):
            self._say(state.job.job, "Queued", f"{state.job.name}: waits for a slot, for other jobs have them all")

    def _lasts(self, what: str) -> bool:
        """Whether it is so for a while."""
        now = time.monotonic()
        return now - self._since.setdefault(what, now) >= QUIET

    def _say(self, job: str, status: str, line: str) -> None:
        if self._said.get(job) != status:
            self._said[job] = status
            self._console.print(line)


def _reused(node: NodeState) -> str:
    return ", reused" if node.reused else ""


def _waits(state: JobState) -> bool:
    """Whether nothing of a job is under way, and what could be has no slot; a graph is as its nodes are."""
    graphs = {node.parent for node in state.nodes}
    left = {node.status for node in state.nodes if node.job not in graphs and node.status not in FINAL}
    return "Queued" in left and left <= set(WAITING)
