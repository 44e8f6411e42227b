"""A job as its page shows it: the nodes with their states, and what is known of one of them."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azureml_local.assets import RUNS
from azureml_local.log_tail import last_line
from azureml_local.store import Resource, Store
from azureml_local.trials import trials_of

Json = dict[str, Any]

MAX_ENTRIES = 500  # of a folder's list


class JobView:
    """Looks at one job of a workspace and at the nodes below it, to any depth."""

    def __init__(self, store: Store, job: Resource) -> None:
        self._job = job
        self._groups: set[str] = set()
        self._runs = {job.name: job, **{run.name: run for run in self._below(store, job)}}

    def find(self, node: str) -> Resource | None:
        """The run of the job or of a node below it, or None."""
        return self._runs.get(node)

    def state(self, since: str = "") -> Json:
        """The whole job at this moment; `nodes` is None when nothing has changed since the version `since`."""
        runs = list(self._runs.values())
        version = _version(runs)
        return {
            "job": self._job.name,
            "experiment": self._job.body.get("experiment") or "",
            "version": version,
            "now": datetime.now(UTC).isoformat(),
            "nodes": None if version == since else [node_state(run) for run in runs],
            "last_lines": self._last_lines(),
        }

    def _below(self, store: Store, run: Resource) -> Iterator[Resource]:
        """The nodes in a job, each followed by those in it; a command has none."""
        if run.body.get("type") == "Command":
            return
        for child in store.children(RUNS, run.name):
            self._groups.add(run.name)
            yield child
            yield from self._below(store, child)

    def _last_lines(self) -> dict[str, str]:
        """What the nodes that run have written last; of a group, its nodes say it."""
        leaves = [run for run in self._runs.values() if run.name not in self._groups]
        running = [run for run in leaves if run.body.get("status") == "Running"]
        return {run.name: line for run in running if (line := last_line(log_folder(run) / "user_logs"))}


def node_state(run: Resource) -> Json:
    """A node's state; what an earlier version of the workspace did not keep is empty."""
    body = run.body
    return {
        "job": run.name,
        "node": body.get("node") or body.get("displayName") or run.name,
        "display_name": body.get("displayName") or "",
        "type": body.get("type") or "Command",
        "parent": body.get("parent"),
        "status": body.get("status") or "NotStarted",
        "start": body.get("start_time"),
        "end": body.get("end_time"),
        "error": body.get("error"),
        "needs": body.get("needs") or [],
        "reused": body.get("reused"),
        "warnings": body.get("warnings") or [],
        "trials": asdict(trials_of(body.get("tags") or {}, body.get("properties") or {})),
    }


def details(run: Resource, params: dict[str, str]) -> Json:
    """What is known of a job beside its state: what it was given, what it ran, and where its files are."""
    body = run.body
    return {
        "job": run.name,
        "description": body.get("description") or "",
        "tags": body.get("tags") or {},
        "inputs": body.get("given") or {},
        "params": params,
        "command": body.get("command") or "",
        "environment": body.get("environment") or "",
        "outputs": body.get("outputs") or {},
        "logs": [{"name": name, "size": (log_folder(run) / name).stat().st_size} for name in log_names(run)],
    }


def log_folder(run: Resource) -> Path:
    """Where a job's logs are; a folder that is not there where it has none."""
    return Path(run.body.get("log_folder") or "-")


def log_names(run: Resource) -> list[str]:
    """The logs of a run by the names that Azure gives them, what the user's code wrote first; `outputs/` has none."""
    folder = log_folder(run)
    files = ((file.relative_to(folder).as_posix(), file) for file in folder.rglob("*"))
    logs = [name for name, file in files if not name.startswith("outputs/") and inside(folder, file)]
    return sorted(logs, key=lambda name: (not name.startswith("user_logs/"), name))


def inside(folder: Path, path: Path) -> bool:
    """Whether a path is a file that lies in the folder, links followed."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def list_output(output: Path, below: str) -> Json:
    """One folder of an output, or the one file that it is; folders first. Raises FileNotFoundError for any other."""
    folder = output / below
    if output.is_file() and not below:
        return {"entries": [_entry(output)], "left_out": 0}
    if not folder.is_dir() or not folder.resolve().is_relative_to(output.resolve()):
        raise FileNotFoundError(below)
    entries = sorted(folder.iterdir(), key=lambda path: (not path.is_dir(), path.name))
    listed = [_entry(path) for path in entries[:MAX_ENTRIES] if path.exists()]
    return {"entries": listed, "left_out": max(0, len(entries) - MAX_ENTRIES)}


def output_file(output: Path, below: str) -> Path:
    """The file of that path in an output. Raises FileNotFoundError for what is not one, or lies elsewhere."""
    if output.is_file() and below == output.name:
        return output
    if not inside(output, output / below):
        raise FileNotFoundError(below)
    return output / below


def _entry(path: Path) -> Json:
    name = os.fsencode(path.name).decode(errors="replace")  # a name need not be UTF-8
    return {"name": name, "folder": path.is_dir(), "size": None if path.is_dir() else path.stat().st_size}


def _version(runs: Iterable[Resource]) -> str:
    """A text that is another one when any of the runs has changed; times alone would not do if the clock is set."""
    stamps = "".join(f"{run.name} {run.modified}\n" for run in runs)
    return hashlib.sha256(stamps.encode()).hexdigest()[:16]
