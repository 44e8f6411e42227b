"""Routes of jobs on the ARM plane: submit, get, list, cancel."""

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from azureml_local.arm_ids import PROVIDER, resource_id
from azureml_local.jobs import JOBS
from azureml_local.rest.assets import View
from azureml_local.rest.bodies import Json, arm_body, page
from azureml_local.rest.context import Base, Here, signed
from azureml_local.rest.errors import bad_request, not_found
from azureml_local.rest.requests import Body
from azureml_local.rest.shapes import JOB, check
from azureml_local.store import Resource
from azureml_local.workspace import Workspace

JOB_PAGE = "/jobs/{name}"
NOT_STARTED = "NotStarted"  # a job of which the engine has said nothing yet

jobs = APIRouter(prefix="/jobs")  # below {workspace}


@jobs.get("")
def list_jobs(base: Base, here: Here, view: View = "ActiveOnly", jobType: str = "", tag: str = "") -> Json:
    """The jobs that were submitted, the newest first."""
    found = [job_body(job, base, here) for job in here.jobs.all()]
    return page(body for body in found if _is_wanted(body["properties"], view, jobType, tag))


@jobs.get("/{name}")
def get_job(name: str, base: Base, here: Here) -> Json:
    """A job; of a pipeline's node only the name: the SDK then asks the run history."""
    if job := here.jobs.get(name):
        return job_body(job, base, here)
    if not here.jobs.run(name):
        raise not_found(f"job {name}")
    return {"id": resource_id(JOBS, name), "name": name, "type": f"{PROVIDER}/workspaces/jobs", "properties": None}


@jobs.put("/{name}")
def put_job(name: str, body: Body, base: Base, here: Here) -> JSONResponse:
    """Submit a job, or change what is said of a known one."""
    check(body, {"properties": JOB})
    if not body.get("properties"):
        raise bad_request("A job needs properties.")
    known = here.jobs.get(name)
    return JSONResponse(job_body(here.jobs.submit(name, body), base, here), 200 if known else 201)


@jobs.post("/{name}/cancel")
def cancel_job(name: str, here: Here) -> Response:
    """Ask a job to end."""
    run = here.jobs.run(name)
    if not run:
        raise not_found(f"job {name}")
    if parent := run.body["parent"]:
        raise bad_request(f"{name} is a node of the job {run.body['root'] or parent}: cancel that job.")
    here.jobs.cancel(name)
    return Response(status_code=200)


def _is_wanted(properties: Json, view: str, kind: str, tag: str) -> bool:
    seen = view == "All" or properties["isArchived"] == (view == "ArchivedOnly")
    name, _, value = tag.partition("=")
    tagged = not tag or (name in properties["tags"] and value in ("", properties["tags"][name]))
    return seen and tagged and kind.lower() in ("", properties["jobType"].lower())


def job_body(job: Resource, base: str, here: Workspace) -> Json:
    """A job's ARM body: what was sent, and what has become of it."""
    run = here.jobs.run(job.name)
    assert run
    sent, now = job.body["properties"], run.body
    page = signed(here.page_address or base, JOB_PAGE.format(name=job.name), here)
    outputs = {name: {**(given or {})} for name, given in (sent.get("outputs") or {}).items()}
    for name, path in (now.get("outputs") or {}).items():
        address = here.assets.output_address(job.name, name, Path(path))
        outputs.setdefault(name, {"jobOutputType": "uri_folder"})["uri"] = address
    properties = {
        **sent,
        "status": now.get("status", NOT_STARTED),
        "displayName": now["displayName"],
        "description": now["description"],
        "tags": now["tags"],
        "properties": now["properties"],
        "isArchived": now["hidden"],
        "experimentName": now["experiment"],
        "outputs": outputs,
        "services": {
            "Studio": {"jobServiceType": "Studio", "endpoint": page},
            "Tracking": {"jobServiceType": "Tracking", "endpoint": here.home.tracking_uri},
        },
    }
    return arm_body(Resource(JOBS, job.name, "", {"properties": properties}, job.created, run.modified))
