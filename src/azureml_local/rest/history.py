"""Routes of the run history and of the data plane: how the SDK follows jobs and finds their outputs."""

import re
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Query

from azureml_local.assets import DEFAULT_OUTPUT_PATH
from azureml_local.blobs import ARTIFACTS
from azureml_local.engine.changes import FINAL
from azureml_local.job_view import log_names
from azureml_local.rest.bodies import USER, Json, page
from azureml_local.rest.compute import THIS_MACHINE
from azureml_local.rest.context import Base, Here
from azureml_local.rest.errors import not_found
from azureml_local.rest.jobs import NOT_STARTED
from azureml_local.rest.requests import Body
from azureml_local.rest.shapes import ADDRESSES, RUN, check
from azureml_local.spec import SUBSCRIPTION
from azureml_local.store import Resource
from azureml_local.workspace import Workspace

RUN_TYPES = {"Pipeline": "azureml.PipelineRun", "Command": "azureml.StepRun", "Sweep": "hyperdrive"}

SDK_VERSION = re.compile(r"azure-ai-ml/(\d+)\.(\d+)")
NEW_TYPES = (1, 35)  # the SDK from which on an output's type is written "uri_folder"; "UriFolder" before

history = APIRouter()  # below /history/v1.0{workspace}
data = APIRouter()  # below /data/v1.0{workspace}


@history.get("/runs/{name}")
@history.get("/experiments/{experiment}/runs/{name}")
def get_run(name: str, here: Here) -> Json:
    """What has become of a job or of a node."""
    return run_body(_found(name, here), here)


@history.get("/runs/{name}/details")
def get_details(name: str, base: Base, here: Here) -> Json:
    """The same with the addresses of its logs, which open without a token."""
    run = _found(name, here)
    if run.body.get("status") not in FINAL:
        here.jobs.follow(name)
    folder = f"/blob/{ARTIFACTS}/{DEFAULT_OUTPUT_PATH.format(job=name)}"
    signature = here.identity.sign(folder)
    logs = {log: f"{base}{folder}/{log}?{signature}" for log in log_names(run)}
    return {**run_body(run, here), "createdTimeUtc": run.created, "logFiles": logs}


@history.get("/runs/{name}/children")
def get_children(name: str, here: Here, top: Annotated[int | None, Query(alias="$top", ge=0)] = None) -> Json:
    """The runs of a pipeline's nodes."""
    return page(run_body(child, here) for child in here.jobs.children(_found(name, here).name)[:top])


@history.get("/runs/{name}/serviceinstances/{node}")
def get_services(name: str, here: Here) -> Json:
    """The services that a job offers beside its work: none."""
    _found(name, here)
    return {"instances": {}}


@history.post("/rundata")
def get_run_data(body: Body, here: Here, agent: Annotated[str, Header(alias="user-agent")] = "") -> Json:
    """A run, for who looks for its outputs."""
    found = run_body(_found(str(body.get("runId")), here), here)
    sdk = SDK_VERSION.search(agent)
    if sdk and tuple(map(int, sdk.groups())) < NEW_TYPES:
        found["outputs"] = {name: {**output, "type": "UriFolder"} for name, output in found["outputs"].items()}
    return {"runMetadata": found, "runDefinition": None, "jobSpecification": None}


@history.patch("/experiments/{experiment}/runs/{name}")
def change_run(name: str, body: Body, here: Here) -> Json:
    """Change what is said of a run, or archive it."""
    check(body, RUN)
    return run_body(here.jobs.change(_found(name, here).name, body), here)


@data.post("/dataversion/batchGetResolvedUris")
def resolve_outputs(body: Body) -> Json:
    """The addresses of outputs by their ids; an id is an address already."""
    check(body, ADDRESSES)
    return {"values": {uri: {"uri": uri, "type": "uri_folder"} for uri in body.get("values") or []}}


def run_body(run: Resource, here: Workspace) -> Json:
    """A run as the run history has it."""
    state = run.body
    # As data, whatever they are: the SDK cannot read the model data plane's answer.
    outputs = {
        name: {"assetId": here.assets.output_address(run.name, name, Path(path)), "type": "uri_folder"}
        for name, path in (state.get("outputs") or {}).items()
    }
    user = {"userName": USER, "userObjectId": SUBSCRIPTION, "userTenantId": SUBSCRIPTION}
    return {
        "runId": run.name,
        "name": state["node"],
        "parentRunId": state["parent"],
        "rootRunId": state["root"],
        "experimentId": state["experiment"],
        "displayName": state["displayName"],
        "description": state["description"],
        "status": state.get("status", NOT_STARTED),
        "createdUtc": run.created,
        "startTimeUtc": state.get("start_time"),
        "endTimeUtc": state.get("end_time"),
        "lastModifiedUtc": run.modified,
        "error": {"error": {"code": "UserError", "message": state["error"]}} if state.get("error") else None,
        "runType": RUN_TYPES[state["type"]],
        "hidden": state["hidden"],
        "tags": state["tags"],
        "properties": state["properties"],
        "compute": {"target": state.get("compute") or THIS_MACHINE, "targetType": "local"},
        "services": {},
        "inputs": {},
        "outputs": outputs,
        "warnings": [{"source": state["node"], "message": text} for text in state.get("warnings") or []],
        "createdBy": user,
        "lastModifiedBy": user,
    }


def _found(name: str, here: Workspace) -> Resource:
    run = here.jobs.run(name)
    if not run:
        raise not_found(f"run {name}")
    return run
