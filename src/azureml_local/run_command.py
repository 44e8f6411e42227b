"""`azureml-local run | watch | cancel`: a job file through the SDK, followed to its end."""

import argparse
import contextlib
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from azureml_local import launcher
from azureml_local.client import connect, sdk_call
from azureml_local.connection import page_url
from azureml_local.engine.changes import FINAL
from azureml_local.errors import InputError
from azureml_local.exit_status import INTERRUPTED
from azureml_local.home import Home
from azureml_local.job_file import read_job, refuse_errors
from azureml_local.job_tables import follow, node_table, status_line, trial_tables
from azureml_local.overrides import parse_overrides
from azureml_local.settings import Settings
from azureml_local.watch import JobState, Watcher

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")  # what Azure takes as a model's name


def run(options: argparse.Namespace) -> int:
    """Run a job file; the exit status is 0 when it completed."""
    home = Home.choose(options.home)
    document = read_job(options.file)
    overrides = parse_overrides(options.set, document, options.file.parent)
    registrations = _registrations(options.register, document)
    if options.detach and registrations:
        raise InputError("--register waits for the job's end, and --detach does not: leave one of them out.")
    refuse_errors(options.file, overrides, "run")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a job is cancelled then, too
    with launcher.in_use(home) as use:
        return _run(home, use, options, overrides, registrations)


def _run(
    home: Home,
    use: launcher.Use,
    options: argparse.Namespace,
    overrides: list[dict[str, str]],
    registrations: dict[str, str],
) -> int:
    console = Console(markup=False, highlight=False, soft_wrap=not sys.stdout.isatty())
    addresses, started = launcher.start(home, Settings.of(options))
    detached, watcher = False, None
    try:
        console.print(f"Loading {options.file} with the SDK, for the workspace at {home.path}", soft_wrap=True)
        client, watcher = connect(home, addresses), Watcher(home, addresses)
        with _one_interrupt_later() as interrupted:
            name = submit(client, options.file, overrides)
        try:
            console.print(f"Submitted {options.file} as {name}; everything is kept in {home.path}", soft_wrap=True)
            page = page_url(home, addresses, f"/jobs/{name}")
            console.print(f"Look at it: {page}", soft_wrap=True)  # a link is one line
            if interrupted:
                raise KeyboardInterrupt
            if options.detach:
                detached = True
                console.print(f"Follow it with: {home.command(f'watch {name}')}", soft_wrap=True)
                return 0
            state = follow(watcher, name, console)
        except KeyboardInterrupt:
            return _cancel(client, watcher, name, console)
        _summarise(state, console)
        if state.job.status != "Completed":
            return 1
        _register_all(client, name, registrations, state, console)
        return 0
    finally:
        if started and not options.keep_up and not detached:
            if not use.is_last() or launcher.is_kept(home) or (watcher and watcher.is_busy()):
                console.print(
                    f"The workspace stays up, for something else needs it; `{home.command('down')}` ends it.",
                    soft_wrap=True,
                )
            else:
                launcher.stop(home)
                console.print(
                    "The workspace that was started for this job is down again, and the job's page with it; "
                    f"`{home.command('up')}` brings both back, and `run --keep-up` leaves them up.",
                    soft_wrap=True,
                )


def watch(options: argparse.Namespace) -> int:
    """Follow a job to its end; Ctrl-C leaves it running."""
    home = Home.choose(options.home)
    console = Console(markup=False, highlight=False, soft_wrap=not sys.stdout.isatty())
    with launcher.in_running(home) as addresses:
        try:
            state = follow(Watcher(home, addresses), options.job, console)
        except KeyboardInterrupt:
            end = home.command(f"cancel {options.job}")
            console.print(f"{options.job} goes on without being watched; `{end}` ends it.", soft_wrap=True)
            return INTERRUPTED
    _summarise(state, console)
    return 0 if state.job.status == "Completed" else 1


def cancel(options: argparse.Namespace) -> int:
    """End a job that was submitted, with all that it runs; returns when it has ended."""
    home = Home.choose(options.home)
    console = Console(markup=False, highlight=False, soft_wrap=True)
    with launcher.in_running(home) as addresses:
        watcher = Watcher(home, addresses)
        if (job := watcher.look(options.job).job).status in FINAL:
            raise InputError(f"The job {options.job} has ended already: it is {job.status}.")
        client = connect(home, addresses)
        with sdk_call(f"cancel {options.job}"):
            client.jobs.begin_cancel(options.job).wait()
        state = follow(watcher, options.job, console)
    console.print(status_line(state.job))
    return 0 if state.job.status == "Canceled" else 1


@contextlib.contextmanager
def _one_interrupt_later() -> Iterator[list[int]]:
    """Put off the first Ctrl-C: a job that is half submitted has no name yet by which it could be cancelled.

    Yields a list that is not empty when there was one. The second Ctrl-C is not put off.
    """
    interrupts: list[int] = []

    def note(number: int, _: object) -> None:
        interrupts.append(number)
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _warnings(state: JobState) -> dict[str, list[str]]:
    """The nodes that have a warning, or the job itself, by its text."""
    found: dict[str, list[str]] = {}
    for node in {node.job: node for node in (state.job, *state.nodes)}.values():
        for warning in node.warnings:
            found.setdefault(warning, []).append(node.name)
    return found


def submit(client: "MLClient", file: Path, overrides: list[dict[str, str]]) -> str:
    """Load a job file and submit it, as `az ml job create` does; returns the job's name."""
    from azure.ai.ml import load_job

    with sdk_call(f"load {file}"):
        job = load_job(file, params_override=overrides)
    if job.name and _is_there(client, str(job.name)):
        raise InputError(f"{file}: the workspace has a job {job.name} already; give another name, or none.")
    with sdk_call(f"submit {file}"):
        return str(client.jobs.create_or_update(job).name)


def _is_there(client: "MLClient", name: str) -> bool:
    from azure.core.exceptions import ResourceNotFoundError

    with sdk_call(f'look up the job "{name}"'):
        try:
            client.jobs.get(name)
        except ResourceNotFoundError:
            return False
    return True


def _registrations(texts: list[str], document: dict[str, object]) -> dict[str, str]:
    outputs = document.get("outputs")
    known = outputs if isinstance(outputs, dict) else {}
    registrations = {}
    for text in texts:
        output, equals, model = text.partition("=")
        if not equals or not model:
            raise InputError(f"--register {text}: expected output=model, as in --register model=fill-mask.")
        if output not in known:
            raise InputError(
                f'--register {text}: the job has no output "{output}"; it has {", ".join(known) or "none"}.'
            )
        if not MODEL_NAME.fullmatch(model):
            raise InputError(
                f'--register {text}: "{model}" cannot be a model\'s name: it takes up to 255 letters, digits, "-", "_" '
                'and ".", and begins with a letter or a digit.'
            )
        registrations[output] = model
    return registrations


def _register_all(
    client: "MLClient", job: str, registrations: dict[str, str], state: JobState, console: Console
) -> None:
    """Register those outputs that are there. Raises InputError for one that is not."""
    missing = [output for output in registrations if output not in state.outputs]
    for output, model in registrations.items():
        if output not in missing:
            registered = _register(client, job, output, model, state)
            console.print(f"The output {output} is registered as {registered}")
    if missing:
        raise InputError(
            f'{job} has completed without writing the output "{missing[0]}": there is nothing to register.'
        )


def _register(client: "MLClient", job: str, output: str, model: str, state: JobState) -> str:
    from azure.ai.ml.entities import Model

    # The MLmodel file is what makes a folder an MLflow model.
    is_mlflow = (state.outputs[output] / "MLmodel").exists()
    kind = "mlflow_model" if is_mlflow else "custom_model"
    with sdk_call(f'register the output "{output}"'):
        asset = Model(name=model, path=f"azureml://jobs/{job}/outputs/{output}", type=kind)
        registered = client.models.create_or_update(asset)
    return f"azureml:{registered.name}:{registered.version}"


def _cancel(client: "MLClient", watcher: Watcher, name: str, console: Console) -> int:
    console.print(f"Cancelling {name}")
    with sdk_call(f"cancel {name}"):
        client.jobs.begin_cancel(name).wait()
    _summarise(follow(watcher, name, console), console)
    return INTERRUPTED


def _summarise(state: JobState, console: Console) -> None:
    """The nodes with their times, what failed, why and where its logs are, and where the outputs are."""
    console.print()
    if state.nodes[0].job != state.job.job:  # else it stands alone
        for table in (node_table(state), *trial_tables(state)):
            console.print(table)
            console.print()
    for node in state.nodes:
        if node.status == "Failed":
            console.print(Text(f"{node.error}\n"), soft_wrap=True)
        if node.status == "Failed" or node.job == state.job.job:
            console.print(Text(f"logs    {node.logs}"), soft_wrap=True)
    for warning, nodes in _warnings(state).items():
        more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
        console.print(Text(f"warning {nodes[0]}{more}: {warning}"), soft_wrap=True)
    for output, path in state.outputs.items():
        console.print(Text(f"output  {output}: {path}"), soft_wrap=True)
    console.print(status_line(state.job))
