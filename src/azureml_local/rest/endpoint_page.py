"""The page that asks an endpoint by hand, and what it asks for; one signature opens it all, no key is needed."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from azureml_local.connection import ENDPOINT_PAGE
from azureml_local.rest.context import Here
from azureml_local.rest.endpoints import find_endpoint
from azureml_local.rest.job_page import PRIVATE, page_file, page_frame
from azureml_local.rest.scoring import DEPLOYMENT_HEADER, JSON, ask

endpoint_page = APIRouter(prefix=ENDPOINT_PAGE)


@endpoint_page.get("")
def get_endpoint_page(endpoint: str, request: Request, here: Here) -> Response:
    """The page of an endpoint: a frame that its script fills."""
    name, address = find_endpoint(endpoint, here).name, ENDPOINT_PAGE.format(endpoint=endpoint)
    own = {
        "invoke": here.home.command(f"invoke {name} --text TEXT"),
        "logs": str(here.home.path / "deployments" / name),
    }
    return page_frame("endpoint.html", name, address, request, **own)


@endpoint_page.get("/page/{file}")
def get_endpoint_page_file(file: str) -> Response:
    """A script or a style sheet of the page."""
    return page_file(file)


@endpoint_page.get("/state")
def get_state(endpoint: str, here: Here) -> JSONResponse:
    """The deployments, with their state and their shares of the traffic."""
    properties = find_endpoint(endpoint, here).body["properties"]
    traffic, copies = (properties.get(field) or {} for field in ("traffic", "mirrorTraffic"))
    deployments = [
        {
            "name": one.version,
            "state": one.body["properties"]["provisioningState"],
            "traffic": traffic.get(one.version, 0),
            "copies": copies.get(one.version, 0),
        }
        for one in here.endpoints.deployments(endpoint)
    ]
    return JSONResponse({"deployments": deployments}, headers=PRIVATE)


@endpoint_page.post("/score")
async def score_by_hand(endpoint: str, request: Request, here: Here) -> Response:
    """What the scoring address answers."""
    name, headers = find_endpoint(endpoint, here).name, request.headers
    media_type = headers.get("content-type", JSON)
    return await ask(here, name, headers.get(DEPLOYMENT_HEADER, ""), await request.body(), media_type)
