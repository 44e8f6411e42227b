"""The scoring addresses: requests go to the deployment that the traffic, or the caller, chooses."""

import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress

import httpx
from fastapi import APIRouter, Depends, Request, Response
from starlette.background import BackgroundTask

from azureml_local.node_bodies import seconds_of
from azureml_local.rest.context import Here
from azureml_local.rest.endpoints import SCORING_PATH
from azureml_local.rest.errors import RestError
from azureml_local.workspace import Workspace

Headers = Mapping[bytes, bytes]

TIMEOUT, LONGEST = 5.0, 180.0  # seconds; what Azure gives a request that says nothing, and the longest that it allows
LATE = (
    'The deployment "{name}" did not answer within {limit:g} s: send less at once, or give it more time by its '
    "request_settings, request_timeout_ms (5000 where it is not given, 180000 at most)."
)
MODEL_ERROR = 424
DEPLOYMENT_HEADER = "azureml-model-deployment"
JSON = "application/json"
AS_JSON = {b"content-type": JSON.encode()}
# What is between two ends of one connection, or for us alone; all else goes through, to the script and back.
_OWN = {b"host", b"authorization", b"content-length", b"content-encoding", b"accept-encoding", b"date", b"server"}
_OWN |= {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect"}
_OWN |= {DEPLOYMENT_HEADER.encode()}
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used: to load authorities for each request takes long


def _check_key(endpoint: str, request: Request, here: Here) -> None:
    _, _, key = request.headers.get("authorization", "").partition(" ")
    if not here.endpoints.opens(endpoint, key):
        raise RestError(401, "AuthenticationFailed", "This is not a key of the endpoint.")


scoring = APIRouter(prefix=SCORING_PATH, dependencies=[Depends(_check_key)])


@scoring.api_route("", methods=["GET", "POST", "OPTIONS"])  # those of the inference server
async def score(endpoint: str, request: Request, here: Here) -> Response:
    """The answer of a deployment's scoring script; a share of the requests is copied to another deployment."""
    asked = request.headers.get(DEPLOYMENT_HEADER, "")
    path = f"/score?{request.url.query}" if request.url.query else "/score"
    sent = request.method, path, await request.body(), {**AS_JSON, **_passed_on(request.headers.raw)}
    reply = await _forward(here, endpoint, asked, *sent)
    copy = None if asked else here.endpoints.choose_copy(endpoint)
    if copy:
        reply.background = BackgroundTask(_send_copy, here, endpoint, copy, *sent)
    return reply


@scoring.get("/swagger.json")
async def swagger(endpoint: str, request: Request, here: Here) -> Response:
    """What a deployment says of its interface."""
    return await _forward(here, endpoint, request.headers.get(DEPLOYMENT_HEADER, ""), "GET", "/swagger.json")


async def ask(here: Workspace, endpoint: str, deployment: str, content: bytes, media_type: str = JSON) -> Response:
    """What a deployment answers to a request, or one by the traffic's shares if none is named."""
    return await _forward(here, endpoint, deployment, "POST", "/score", content, {b"content-type": media_type.encode()})


async def _send_copy(
    here: Workspace, endpoint: str, deployment: str, method: str, path: str, content: bytes, headers: Headers
) -> None:
    """A request to a deployment whose answer nobody waits for."""
    with suppress(RestError):
        await _forward(here, endpoint, deployment, method, path, content, headers)


def _passed_on(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in headers if name.lower() not in _OWN}


def _limit(here: Workspace, endpoint: str, deployment: str) -> float:
    """The seconds that a deployment has for an answer."""
    settings = here.endpoints.served(endpoint, deployment).get("requestSettings") or {}
    return min(seconds_of(settings.get("requestTimeout"), "requestTimeout") or TIMEOUT, LONGEST)


async def _forward(
    here: Workspace,
    endpoint: str,
    asked: str,
    method: str,
    path: str,
    content: bytes = b"",
    headers: Headers = AS_JSON,
) -> Response:
    try:
        with here.endpoints.server(endpoint, asked) as (deployment, address):
            request = httpx.Request(method, address + path, content=content, headers=headers)
            limit = _limit(here, endpoint, deployment)
            async with httpx.AsyncClient(timeout=limit, trust_env=False, verify=NO_TLS) as client:
                reply = await client.send(request)
    except LookupError as error:
        raise RestError(404, "DeploymentNotFound", str(error)) from error
    except httpx.TimeoutException as error:
        raise RestError(408, "RequestTimeout", LATE.format(name=deployment, limit=limit)) from error
    except httpx.HTTPError as error:
        raise RestError(503, "DeploymentUnavailable", f"The deployment does not answer: {error!r}.") from error
    passed_on = {**AS_JSON, **_passed_on(reply.headers.raw)}
    given = {name.decode("latin-1"): value.decode("latin-1") for name, value in passed_on.items()}
    given[DEPLOYMENT_HEADER] = deployment
    if reply.is_success:
        return Response(reply.content, reply.status_code, given)
    # As Azure: the status of the model is in a header.
    reason = {
        "ms-azureml-model-error-statuscode": str(reply.status_code),
        "ms-azureml-model-error-reason": "model_error",
    }
    return Response(reply.content, MODEL_ERROR, {**given, **reason})
