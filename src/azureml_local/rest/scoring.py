"""The scoring addresses: requests go to the deployment that the traffic, or the caller, chooses."""

import ssl
from contextlib import suppress

import httpx
from fastapi import APIRouter, Depends, Request, Response
from starlette.background import BackgroundTask

from azureml_local.rest.context import Here
from azureml_local.rest.endpoints import SCORING_PATH
from azureml_local.rest.errors import RestError
from azureml_local.workspace import Workspace

TIMEOUT = 180.0  # seconds; the longest that Azure allows
MODEL_ERROR = 424
DEPLOYMENT_HEADER = "azureml-model-deployment"
JSON = "application/json"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used: to load authorities for each request takes long


def _check_key(endpoint: str, request: Request, here: Here) -> None:
    _, _, key = request.headers.get("authorization", "").partition(" ")
    if not here.endpoints.opens(endpoint, key):
        raise RestError(401, "AuthenticationFailed", "This is not a key of the endpoint.")


scoring = APIRouter(prefix=SCORING_PATH, dependencies=[Depends(_check_key)])


@scoring.post("")
async def score(endpoint: str, request: Request, here: Here) -> Response:
    """The answer of a deployment's scoring script; a share of the requests is copied to another deployment."""
    content, headers = await request.body(), request.headers
    reply = await ask(here, endpoint, headers.get(DEPLOYMENT_HEADER, ""), content, headers.get("content-type", JSON))
    copy = None if DEPLOYMENT_HEADER in headers else here.endpoints.choose_copy(endpoint)
    if copy:
        reply.background = BackgroundTask(_send_copy, here, endpoint, copy, content, headers.get("content-type", JSON))
    return reply


@scoring.get("/swagger.json")
async def swagger(endpoint: str, request: Request, here: Here) -> Response:
    """What a deployment says of its interface."""
    return await _forward(here, endpoint, request.headers.get(DEPLOYMENT_HEADER, ""), "GET", "/swagger.json")


async def ask(here: Workspace, endpoint: str, deployment: str, content: bytes, media_type: str = JSON) -> Response:
    """What a deployment answers to a request, or one by the traffic's shares if none is named."""
    return await _forward(here, endpoint, deployment, "POST", "/score", content, media_type)


async def _send_copy(here: Workspace, endpoint: str, deployment: str, content: bytes, media_type: str) -> None:
    """A request to a deployment whose answer nobody waits for."""
    with suppress(RestError):
        await ask(here, endpoint, deployment, content, media_type)


async def _forward(
    here: Workspace, endpoint: str, asked: str, method: str, path: str, content: bytes = b"", media_type: str = JSON
) -> Response:
    try:
        with here.endpoints.server(endpoint, asked) as (deployment, address):
            request = httpx.Request(method, address + path, content=content, headers={"Content-Type": media_type})
            async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, verify=NO_TLS) as client:
                reply = await client.send(request)
    except LookupError as error:
        raise RestError(404, "DeploymentNotFound", str(error)) from error
    except httpx.TimeoutException as error:
        raise RestError(408, "RequestTimeout", f"The deployment did not answer within {TIMEOUT:g} s.") from error
    except httpx.HTTPError as error:
        raise RestError(503, "DeploymentUnavailable", f"The deployment does not answer: {error!r}.") from error
    headers = {"Content-Type": reply.headers.get("content-type", JSON), DEPLOYMENT_HEADER: deployment}
    if reply.is_success:
        return Response(reply.content, reply.status_code, headers)
    # As Azure: the status of the model is in a header.
    reason = {
        "ms-azureml-model-error-statuscode": str(reply.status_code),
        "ms-azureml-model-error-reason": "model_error",
    }
    return Response(reply.content, MODEL_ERROR, {**headers, **reason})
