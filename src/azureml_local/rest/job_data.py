"""What the page of a job asks for, all below the page's address, so that the same signature opens it.

`/jobs/-/list` has all jobs, for the page that lists them.

| below `/jobs/{job}` | answer |
| --- | --- |
| `state?since=` | the job and all nodes below it; `nodes` is null when `since` is the version there is |
| `nodes/{node}` | what a node was given, its parameters, command, environment, outputs and logs |
| `nodes/{node}/metrics?since=` | its curves; with the mark `last` of an earlier answer, what has come after it |
| `nodes/{node}/tail/{log}?since=` | a log's end; with the mark `end` of an earlier answer, what has come after it |
| `nodes/{node}/logs/{log}` | a log as it is |
| `nodes/{node}/outputs/{output}?below=` | one folder of an output |
| `nodes/{node}/files/{output}/{path}` | a file of an output |
"""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse

from azureml_local.engine.changes import FINAL
from azureml_local.job_view import JobView, details, inside, list_output, log_folder, node_state, output_file
from azureml_local.log_tail import read_from
from azureml_local.metrics import read_curves, read_params
from azureml_local.rest.bodies import Json
from azureml_local.rest.context import Here, signed
from azureml_local.rest.errors import not_found
from azureml_local.rest.file_parts import read_part
from azureml_local.rest.job_page import JOBS_PAGE, PRIVATE
from azureml_local.rest.jobs import JOB_PAGE
from azureml_local.store import Resource
from azureml_local.workspace import Workspace

MOST_JOBS = 200  # of the list
# What a job has written is shown as text or kept as a file: no script in it ever runs at this address.
INERT = {**PRIVATE, "Content-Security-Policy": "default-src 'none'; sandbox"}

job_list = APIRouter()
Since = Annotated[int, Query(ge=0, lt=2**63)]  # what a database can hold

job_data = APIRouter(prefix=JOB_PAGE)


def _job(name: str, here: Here) -> JobView:
    run = here.jobs.run(name)
    if not run:
        raise not_found(f"job {name}")
    return JobView(here.store, run)


View = Annotated[JobView, Depends(_job)]


def _found(node: str, view: View) -> Resource:
    run = view.find(node)
    if not run:
        raise not_found(f"node {node} in this job")
    return run


Node = Annotated[Resource, Depends(_found)]


@job_data.get("/state")
def get_state(view: View, here: Here, since: str = "") -> JSONResponse:
    """The job and its nodes; a reused node with the address of the page of the job that it comes from."""
    state = view.state(since)
    for node in state["nodes"] or []:
        node["reused"] = _origin(node["reused"], here)
    return _answer(state)


@job_list.get(f"{JOBS_PAGE}/-/list")
def list_jobs(here: Here) -> JSONResponse:
    """The jobs that were submitted last, each with an address of its page that leads back to the list."""
    query = here.identity.sign(JOBS_PAGE)
    submitted = here.jobs.all()
    runs = [run for job in submitted[:MOST_JOBS] if (run := here.jobs.run(job.name))]
    jobs = [
        {
            **node_state(run),
            "experiment": run.body.get("experiment") or "",
            "url": f"{JOB_PAGE.format(name=run.name)}?{query}",
        }
        for run in runs
    ]
    left_out = max(0, len(submitted) - MOST_JOBS)
    return _answer({"now": datetime.now(UTC).isoformat(), "jobs": jobs, "left_out": left_out})


@job_data.get("/nodes/{node}")
def get_node(node: Node, here: Here) -> JSONResponse:
    """What is known of a node beside its state."""
    if not node.body.get("parent") and node.body.get("status") not in FINAL:
        here.jobs.follow(node.name)  # the log of a pipeline has what its nodes write when somebody looks
    return _answer(details(node, read_params(here.home.runs_database, node.name)))


@job_data.get("/nodes/{node}/metrics")
def get_metrics(node: Node, here: Here, since: Since = 0) -> JSONResponse:
    """The curves of a node's metrics, as lists of step and value."""
    last, curves = read_curves(here.home.runs_database, node.name, since)
    return _answer({"last": last, "curves": curves})


@job_data.get("/nodes/{node}/tail/{log:path}")
def get_tail(log: str, node: Node, since: int | None = None) -> JSONResponse:
    """The end of a log, or what was added to it."""
    return _answer(asdict(read_from(_log(node, log), since)))


@job_data.get("/nodes/{node}/logs/{log:path}")
def get_log(log: str, node: Node) -> Response:
    """The whole log."""
    return _content(_log(node, log), "text/plain; charset=utf-8")


@job_data.get("/nodes/{node}/outputs/{output}")
def get_output(output: str, node: Node, below: str = "") -> JSONResponse:
    """The files and folders in one folder of an output."""
    try:
        return _answer(list_output(_output(node, output), below))
    except OSError as error:
        raise not_found(f'folder "{below}" in the output {output}') from error


@job_data.get("/nodes/{node}/files/{output}/{path:path}")
def get_file(output: str, path: str, node: Node) -> Response:
    """A file of an output, to be saved."""
    try:
        file = output_file(_output(node, output), path)
    except OSError as error:
        raise not_found(f'file "{path}" in the output {output}') from error
    attachment = f"attachment; filename*=UTF-8''{quote(file.name, safe='')}"
    return _content(file, "application/octet-stream", {"Content-Disposition": attachment})


def _origin(reused: Json | None, here: Workspace) -> Json | None:
    """The job whose outputs were taken; its address opens that one job, not the pipeline around it."""
    if not reused:
        return None
    job = str(reused.get("job"))
    return {**reused, "url": _address(job, here) if here.jobs.run(job) else None}


def _address(job: str, here: Workspace) -> str:
    """A page's address with a signature for that job alone."""
    return signed("", JOB_PAGE.format(name=job), here)


def _log(run: Resource, name: str) -> Path:
    file = log_folder(run) / name
    if not inside(log_folder(run), file):
        raise not_found(f"log {name} of this node")
    return file


def _output(run: Resource, name: str) -> Path:
    outputs = run.body.get("outputs") or {}
    if name not in outputs:
        raise not_found(f"output {name} of this node")
    return Path(outputs[name])


def _answer(body: Json) -> JSONResponse:
    return JSONResponse(body, headers=PRIVATE)


def _content(file: Path, media_type: str, headers: dict[str, str] | None = None) -> Response:
    size = file.stat().st_size
    length = {"Content-Length": str(size)}
    return StreamingResponse(
        read_part(file, 0, size), media_type=media_type, headers={**INERT, **length, **(headers or {})}
    )
