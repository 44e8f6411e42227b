"""Runs the public job files of azureml-examples in a local workspace, and writes what came of each as a table.

    git clone https://github.com/Azure/azureml-examples
    git clone https://github.com/Azure/azureml-assets
    python benchmarks/compatibility.py azureml-examples --assets azureml-assets --write docs/compatibility.md

Each job's environment is built from its conda file or requirements. What the samples' own scripts register is
registered: the components of `1b_e2e_registered_components`, the data of `4d_data_input`, and from the checkout of
azureml-assets the conda files of the curated environments that the jobs name. Jobs that load data or models from the
internet end as this machine's access to it lets them.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from azureml_local import launcher
from azureml_local.client import connect, sdk_call
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.settings import Settings
from azureml_local.watch import JobState, Watcher

FOLDERS = ("cli/jobs/basics", "cli/jobs/pipelines-with-components")
JOB_SCHEMAS = re.compile(
    r"/(pipelineJob|commandJob|sweepJob|autoMLJob|parallelJob|sparkJob)\.schema\.json", re.IGNORECASE
)
CURATED = re.compile(r"(?:registries/azureml/environments/|azureml:AzureML-)([\w.-]+?)(?:@|/|$)", re.MULTILINE)
COMPONENTS = "cli/jobs/pipelines-with-components/basics/1b_e2e_registered_components"
DATA = "cli/jobs/pipelines-with-components/basics/4d_data_input/data.yml"
TEMPLATE = re.compile(r"==\{\{.*?\}\}")  # the assets' sources leave the newest version to their build
LONGEST_REASON = 300  # characters


@dataclass(frozen=True)
class Result:
    """What came of one job file."""

    file: str
    status: str
    nodes: int
    seconds: float
    reason: str = ""

    def row(self) -> str:
        """The line of the table."""
        reason = self.reason.replace("|", "\\|").replace("<", "&lt;")
        return f"| `{self.file}` | {self.status} | {self.nodes or ''} | {self.seconds:.0f} | {reason} |"


def main() -> int:
    """Run the files; 0 whatever came of them."""
    options = _parser().parse_args()
    console = Console(stderr=True, markup=False, highlight=False)
    with tempfile.TemporaryDirectory(prefix="compatibility-") as folder:
        home = Home(options.home or Path(folder))
        addresses, _ = launcher.start(home, Settings(options.max_parallel, build_environments=True))
        try:
            client = connect(home, addresses)
            register(client, options.examples, options.assets, options.also)
            watcher = Watcher(home, addresses)
            results = []
            files = [file for file in job_files(options.examples) if options.only in str(file)]
            for number, file in enumerate(files, start=1):
                result = run(client, watcher, options.examples, file, options.timeout)
                # Where this machine keeps things is nothing that a reader needs.
                reason = result.reason.replace(str(home.path), "WORKSPACE").replace(str(options.examples), "EXAMPLES")
                result = replace(result, reason=_short(reason))
                console.print(f"[{number}/{len(files)}] {result.file}: {result.status} {result.reason[:150]}")
                results.append(result)
        finally:
            launcher.stop(home)
    page = "\n".join(lines(options.examples, results, options.also)) + "\n"
    if options.write:
        options.write.write_text(page)
    else:
        print(page)
    return 0


def job_files(examples: Path) -> Iterator[Path]:
    """The files that are jobs, by their schema or by what they hold, relative to the checkout."""
    for folder in FOLDERS:
        for file in sorted((examples / folder).rglob("*.y*ml")):
            document = _document(file)
            schema = str(document.get("$schema", ""))
            if JOB_SCHEMAS.search(schema) or (not schema and document.get("type") == "pipeline"):
                yield file.relative_to(examples)


def register(client: Any, examples: Path, assets: Path | None, also: list[str]) -> None:
    """Register what the samples' own scripts do, and the curated environments whose conda files are public."""
    from azure.ai.ml import load_component, load_data
    from azure.ai.ml.entities import Environment

    for name in ("train", "score", "eval"):
        client.components.create_or_update(load_component(examples / COMPONENTS / f"{name}.yml"))
    client.data.create_or_update(load_data(examples / DATA))
    for name in curated_names(examples) if assets else ():
        for file in sorted(assets.glob(f"assets/**/environments/{name}/context/conda_dependencies.yaml")):
            conda = yaml.safe_load(TEMPLATE.sub("", file.read_text()))
            next(part for part in conda["dependencies"] if isinstance(part, dict))["pip"] += also
            image = "mcr.microsoft.com/azureml/curated/" + name
            client.environments.create_or_update(Environment(name=name, image=image, conda_file=conda))


def curated_names(examples: Path) -> list[str]:
    """The curated environments that the job files and their components name."""
    found = set()
    for folder in FOLDERS:
        for file in (examples / folder).rglob("*.y*ml"):
            found |= set(CURATED.findall(file.read_text(errors="replace")))
    return sorted(found)


def run(client: Any, watcher: Watcher, examples: Path, file: Path, timeout: float) -> Result:
    """Submit one file and wait for its end."""
    from azure.ai.ml import load_job

    start = time.monotonic()
    try:
        # From its own folder, as the samples' scripts do: the SDK looks for an AutoML job's data from there.
        with contextlib.chdir((examples / file).parent), sdk_call("load"):
            job = load_job(file.name)
        with contextlib.chdir((examples / file).parent), sdk_call("submit"):
            name = str(client.jobs.create_or_update(job).name)
    except InputError as error:
        return Result(str(file), "refused", 0, time.monotonic() - start, str(error).removeprefix("Could not submit: "))
    state = watcher.look(name)
    while not state.is_final and time.monotonic() - start < timeout:
        time.sleep(0.5)
        state = watcher.look(name)
    if not state.is_final:
        client.jobs.begin_cancel(name).wait()
    return Result(str(file), state.job.status, len(state.nodes), time.monotonic() - start, _reason(state, timeout))


def lines(examples: Path, results: list[Result], also: list[str]) -> Iterator[str]:
    """The page."""
    completed = sum(result.status == "Completed" for result in results)
    commit = subprocess.run(
        ["git", "-C", str(examples), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    yield "# Public job files in a local workspace"
    yield ""
    yield (
        f"Made by `benchmarks/compatibility.py` from azureml-examples at {commit or 'an unknown commit'}: "
        f"{completed} of {len(results)} job files complete, each in an environment built from what it asks for. "
        "The others end with the sentence in the last column. Seconds include the first build of an environment."
    )
    if also:
        yield ""
        yield f"Added to the curated environments, whose newest packages lack it: {', '.join(also)}."
    yield ""
    yield "| job file | ends as | nodes | seconds | because |"
    yield "| --- | --- | ---: | ---: | --- |"
    yield from (result.row() for result in results)


def _reason(state: JobState, timeout: float) -> str:
    if not state.is_final:
        return f"still running after {timeout:.0f} s"
    return "" if state.job.status == "Completed" else state.job.error


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST_REASON else f"{flat[:150]} ... {flat[-145:]}"


def _document(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_text())
    except yaml.YAMLError:
        return {}
    return document if isinstance(document, dict) else {}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", type=Path, help="a checkout of azureml-examples")
    parser.add_argument("--assets", type=Path, help="a checkout of azureml-assets")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="install it in the curated environments as well: the newest versions of what they ask for may lack it",
    )
    parser.add_argument("--home", type=Path, help="a workspace to use and keep (default: one that is deleted)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the files whose path contains this")
    parser.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="for each file")
    parser.add_argument("--max-parallel", type=int, metavar="N")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the page (default: print it)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
