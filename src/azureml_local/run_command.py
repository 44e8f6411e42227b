"""`azureml-local run`: a job file through the SDK, followed to its end."""

import argparse
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from azureml_local import launcher
from azureml_local.client import connect, sdk_call
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.job_file import read_job
from azureml_local.overrides import parse_overrides
from azureml_local.watch import JobState, Watcher, duration, node_table

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")  # what Azure takes as a model's name
INTERRUPTED = 130  # the status that shells give a program ended by Ctrl-C


def run(options: argparse.Namespace) -> int:
    """Run a job file; the exit status is 0 when it completed."""
    home = Home.choose(options.home)
    document = read_job(options.file)
    overrides = parse_overrides(options.set, document, options.file.parent)
    registrations = _registrations(options.register, document)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a job is cancelled then, too
    console = Console(markup=False, highlight=False, soft_wrap=not sys.stdout.isatty())
    addresses, started = launcher.start(home)
    try:
        client = connect(home, addresses)
        name = submit(client, options.file, overrides)
        console.print(f"Submitted {options.file} as {name}; everything is kept in {home.path}")
        watcher = Watcher(home, addresses)
        try:
            state = watcher.follow(name, console)
        except KeyboardInterrupt:
            return _cancel(client, watcher, name, console)
        _summarise(state, console)
        if state.job.status != "Completed":
            return 1
        for output, model in registrations.items():
            registered = _register(client, name, output, model, state)
            console.print(f"The output {output} is registered as {registered}")
        return 0
    finally:
        if started and not options.keep_up:
            launcher.stop(home)


def submit(client: "MLClient", file: Path, overrides: list[dict[str, str]]) -> str:
    """Load a job file and submit it, as `az ml job create` does; returns the job's name."""
    from azure.ai.ml import load_job

    with sdk_call(f"load {file}"):
        job = load_job(file, params_override=overrides)
    with sdk_call(f"submit {file}"):
        return str(client.jobs.create_or_update(job).name)


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
    _summarise(watcher.follow(name, console), console)
    return INTERRUPTED


def _summarise(state: JobState, console: Console) -> None:
    """The nodes with their times, what failed, why and where its logs are, and where the outputs are."""
    console.print()
    if state.nodes[0].job != state.job.job:  # else it stands alone
        console.print(node_table(state))
        console.print()
    for node in state.nodes:
        if node.status == "Failed":
            console.print(Text(f"{node.error}\n\nlogs    {node.logs}"), soft_wrap=True)
    for output, path in state.outputs.items():
        console.print(Text(f"output  {output}: {path}"), soft_wrap=True)
    console.print(f"{state.job.name}: {state.job.status} after {duration(state.job.seconds)}")
