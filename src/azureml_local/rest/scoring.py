"""The scoring addresses: requests go to the deployment that the traffic, or the caller, chooses."""

from typing import Annotated

import httpx
from fastapi import APIRouter, Depends, Request, Response

from azureml_local.rest.context import Here
from azureml_local.rest.endpoints import SCORING_PATH
from azureml_local.rest.errors import RestError

TIMEOUT = 180.0  # seconds; the longest that Azure allows
MODEL_ERROR = 424

scoring = APIRouter(prefix=SCORING_PATH)  # each route checks the endpoint's own key


def _server(endpoint: str, request: Request, here: Here) -> str:
    """The address of the deployment that answers; only to who has a key."""
    _, _, key = request.headers.get("authorization", "").partition(" ")
    if not here.endpoints.opens(endpoint, key):
        raise RestError(401, "AuthenticationFailed", "This is not a key of the endpoint.")
    try:
        return here.endpoints.choose(endpoint, request.headers.get("azureml-model-deployment", ""))
    except LookupError as error:
        raise RestError(404, "DeploymentNotFound", str(error)) from error


Server = Annotated[str, Depends(_server)]


@scoring.post("")
async def score(server: Server, request: Request) -> Response:
    """The answer of a deployment's scoring script."""
    headers = {"Content-Type": request.headers.get("content-type", "application/json")}
    return await _forward(httpx.Request("POST", f"{server}/score", content=await request.body(), headers=headers))


@scoring.get("/swagger.json")
async def swagger(server: Server) -> Response:
    """What a deployment says of its interface."""
    return await _forward(httpx.Request("GET", f"{server}/swagger.json"))


async def _forward(request: httpx.Request) -> Response:
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
            reply = await client.send(request)
    except httpx.TimeoutException as error:
        raise RestError(408, "RequestTimeout", f"The deployment did not answer within {TIMEOUT:g} s.") from error
    except httpx.HTTPError as error:
        raise RestError(503, "DeploymentUnavailable", f"The deployment does not answer: {error!r}.") from error
    headers = {"Content-Type": reply.headers.get("content-type", "application/json")}
    if reply.is_success:
        return Response(reply.content, reply.status_code, headers)
    # As Azure: the status of the model is in a header.
    reason = {
        "ms-azureml-model-error-statuscode": str(reply.status_code),
        "ms-azureml-model-error-reason": "model_error",
    }
    return Response(reply.content, MODEL_ERROR, {**headers, **reason})
