"""The page behind a job's `Web View` link: its nodes, states, times and outputs, as plain text."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from azureml_local.rest.context import Here
from azureml_local.rest.errors import not_found
from azureml_local.rest.jobs import JOB_PAGE
from azureml_local.store import Resource

overview = APIRouter()


@overview.get(JOB_PAGE)
def get_overview(name: str, here: Here) -> PlainTextResponse:
    """What has become of a job."""
    run = here.jobs.run(name)
    if not run:
        raise not_found(f"job {name}")
    nodes = [_line(node) for node in here.jobs.children(name)]
    outputs = [f"output {output}: {path}" for output, path in (run.body.get("outputs") or {}).items()]
    error = [run.body["error"]] if run.body.get("error") else []
    return PlainTextResponse("\n".join([_line(run), *nodes, *outputs, *error]) + "\n")


def _line(run: Resource) -> str:
    start, end = run.body.get("start_time") or "-", run.body.get("end_time") or "-"
    return f"{run.body['node']:24} {run.body['status']:16} {start:34} {end:34} {run.name}"
