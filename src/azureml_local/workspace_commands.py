"""`azureml-local up | down | status | reset | env`: the workspace itself."""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator

from azureml_local import disk, launcher
from azureml_local.connection import Addresses, client_environment, endpoint_page_url, is_held, page_url, shell_exports
from azureml_local.endpoints import DEPLOYMENTS, ENDPOINTS, SCORING_PATH
from azureml_local.engine.changes import FINAL
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.settings import Settings
from azureml_local.spec import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE
from azureml_local.store import Resource, Store
from azureml_local.watch import Watcher


def up(options: argparse.Namespace) -> int:
    """Start the workspace in the background."""
    home = Home.choose(options.home)
    with launcher.in_use(home):
        addresses, started = launcher.start(home, Settings.of(options))
        launcher.keep(home)
    print(f"The workspace at {home.path} {'is' if started else 'was already'} up: {addresses.url}")
    print(f'Point any client at it: eval "$({home.command("env")})"')
    return 0


def down(options: argparse.Namespace) -> int:
    """End the workspace; a workspace that is not up is fine."""
    home = Home.choose(options.home)
    active = _active(home) if is_held(home) else []
    stopped = launcher.stop(home)
    print(f"The workspace at {home.path} {'is down' if stopped else 'was not up'}.")
    if stopped and active:
        print(f"What ran in it has ended: {', '.join(active)}.")
    return 0


def status(options: argparse.Namespace) -> int:
    """Say where the workspace is, what it does and what it takes on the disk; 1 when it is not up."""
    home = Home.choose(options.home)
    addresses = Addresses.read(home)
    if addresses:
        _say("home", str(home.path))
        _say("address", f"{addresses.url} (process {addresses.pid})")
        _say("all jobs", page_url(home, addresses, "/jobs"))
        _say("subscription", SUBSCRIPTION)
        _say("resource group", RESOURCE_GROUP)
        _say("workspace", WORKSPACE)
        _say("MLflow runs", home.tracking_uri)
        _say("settings", " ".join(addresses.settings.arguments()) or "the defaults")
    else:
        print(f"No workspace is up at {home.path}.")
    if home.database.is_file():  # up or not, it keeps what it knew
        runs = _job_runs(home)
        statuses = [_status_of(run) for run in runs]
        if not addresses:  # nothing runs without a workspace; when it is up again, it calls them failed
            statuses = [one if one in FINAL else "interrupted" for one in statuses]
        counts = sorted(Counter(statuses).items())
        _say("jobs", ", ".join(f"{count} {status}" for status, count in counts) or "none")
        for run in runs if addresses else ():
            if _status_of(run) not in FINAL:  # its name is what `watch` and `cancel` take
                _say("active job", f"{run.name} ({run.body.get('displayName') or run.name}) {_status_of(run)}")
        for endpoint in _endpoints(home, addresses):
            _say("endpoint", endpoint)
        _say("disk", _disk(home))
    return 0 if addresses else 1


def reset(options: argparse.Namespace) -> int:
    """Delete the workspace, or what it makes again when it needs it; asks first."""
    home = Home.choose(options.home)
    if not home.secret.is_file() and not is_held(home):
        print(f"There is no workspace at {home.path}.")
        return 0
    addresses = Addresses.read(home)
    if options.only and addresses and Watcher(home, addresses).is_busy():
        raise InputError(
            f"A job runs in the workspace at {home.path}, and to delete the {options.only} ends the workspace: "
            f"wait for the job, or end it with `{home.command('cancel JOB')}`."
        )
    what = f"the {options.only} of" if options.only else "everything in"
    freed = disk.usage(home)
    amount = disk.size(freed[options.only] if options.only else sum(freed.values()))
    if not options.yes and not _agreed(f"Delete {what} the workspace at {home.path} ({amount})?"):
        print("Nothing was deleted.")
        return 1
    with launcher.at_rest(home) as stopped:
        if not home.secret.is_file():
            print(f"There is no workspace at {home.path} any more.")
            return 0
        disk.remove(home, options.only)
    print(f"Deleted {what} the workspace at {home.path}: {amount}.")
    if options.only and stopped:
        print(f"The workspace was ended for it; `{home.command('up')}` starts it again.")
    return 0


def env(options: argparse.Namespace) -> int:
    """Print the exports that point a shell's clients at the workspace."""
    home = Home.choose(options.home)
    print(shell_exports(client_environment(home, launcher.find(home))))
    return 0


def _say(name: str, value: str) -> None:
    print(f"{name:14} {value}")


def _job_runs(home: Home) -> list[Resource]:
    """What has become of each job that was submitted."""
    if not home.database.is_file():
        return []
    store = Store(home.database)
    submitted = {job.name for job in store.all("jobs")}
    runs = [run for run in store.all("runs") if run.name in submitted]
    store.close()
    return runs


def _active(home: Home) -> list[str]:
    """The jobs that have not ended; none where a damaged database does not tell, which keeps nobody from ending it."""
    try:
        return [run.name for run in _job_runs(home) if _status_of(run) not in FINAL]
    except sqlite3.Error:
        return []


def _status_of(run: Resource) -> str:
    return run.body.get("status") or "NotStarted"


def _endpoints(home: Home, addresses: Addresses | None) -> Iterator[str]:
    """Each endpoint with its deployments, their traffic and their states, where it answers, and its page."""
    store = Store(home.database)
    for endpoint in store.all(ENDPOINTS):
        traffic = endpoint.body["properties"].get("traffic") or {}
        served = [
            f"{one.version} {traffic.get(one.version, 0)} % {one.body['properties']['provisioningState']}"
            for one in store.all(DEPLOYMENTS, endpoint.name)
        ]
        address = addresses.url + SCORING_PATH.format(endpoint=endpoint.name) if addresses else "not up"
        yield f"{endpoint.name} ({', '.join(served) or 'no deployment'}) {address}"
        if addresses:
            yield f"{endpoint.name} by hand: {endpoint_page_url(home, addresses, endpoint.name)}"
    store.close()


def _disk(home: Home) -> str:
    parts = disk.usage(home)
    listed = ", ".join(f"{part} {disk.size(count)}" for part, count in parts.items() if count)
    left = shutil.disk_usage(home.path).free
    no_room = ": full, make room" if disk.full(home.path) else ""
    return f"{disk.size(sum(parts.values()))} ({listed}); {disk.size(left)} left{no_room}"


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise InputError(f"{question} There is no terminal to ask on: say --yes.")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
