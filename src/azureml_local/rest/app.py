"""All routes in one application, and the guard in front of every one of them."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from azureml_local.arm_ids import PROVIDER
from azureml_local.assets import KINDS
from azureml_local.blobs import BlobExistsError, BlobPathError
from azureml_local.endpoints import BusyError
from azureml_local.identity import Identity
from azureml_local.rest.arm import roots, workspaces
from azureml_local.rest.assets import assets
from azureml_local.rest.compute import computes, locations
from azureml_local.rest.endpoint_page import endpoint_page
from azureml_local.rest.endpoints import deployments, endpoints, operations
from azureml_local.rest.errors import RestError, answer_error, error_response, named, not_found, not_spoken, refuse
from azureml_local.rest.history import data, history
from azureml_local.rest.job_data import job_data, job_list
from azureml_local.rest.job_page import job_page
from azureml_local.rest.jobs import jobs
from azureml_local.rest.scoring import scoring
from azureml_local.rest.shapes import check_name
from azureml_local.rest.storage import storage
from azureml_local.rest.tokens import foreign_page
from azureml_local.spec import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, SpecError
from azureml_local.workspace import Workspace

SCOPE = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{PROVIDER}/workspaces/{{workspace}}"
SCORING = "/score/"  # guarded by the endpoints' own keys
OF_THE_WORKSPACE = {
    "PATCH": "changing the workspace",
    "PUT": "creating workspaces",
    "DELETE": "deleting the workspace",
}
METHODS = ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"]

PAGES: tuple[APIRouter, ...] = (job_list, job_page, job_data, endpoint_page)
ROOTS: tuple[APIRouter, ...] = (roots, locations, storage, scoring, *PAGES)
# What routes there are below a workspace, by the plane that their address begins with; the first that fits answers.
PLANES: tuple[tuple[str, APIRouter], ...] = (
    ("", workspaces),
    ("", computes),
    ("", jobs),
    ("", endpoints),
    ("", deployments),
    ("", operations),
    ("/history/v1.0", history),
    ("/data/v1.0", data),
    ("", assets),
)

Answer = Callable[[Request], Awaitable[Response]]


def create_app(workspace: Workspace) -> FastAPI:
    """The workspace's web application."""
    app = _guarded_app(workspace)
    for router in ROOTS:
        app.include_router(router)
    for plane, router in PLANES:
        app.include_router(router, prefix=plane + SCOPE, dependencies=[Depends(check_workspace)])
    app.add_api_route("/{path:path}", everything_else, methods=METHODS)
    return app


def create_page_app(workspace: Workspace) -> FastAPI:
    """The pages alone, for an address without encryption: no browser knows the workspace's certificate."""
    app = _guarded_app(workspace)
    for router in PAGES:
        app.include_router(router)
    return app


def _guarded_app(workspace: Workspace) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.workspace = workspace
    ours = (RestError, SpecError, BlobPathError, BlobExistsError, BusyError)
    for kind in (*ours, RequestValidationError, HTTPException, RecursionError, Exception):
        app.add_exception_handler(kind, answer_error)
    app.middleware("http")(guard(workspace.identity))
    return app


def guard(identity: Identity) -> Callable[[Request, Answer], Awaitable[Response]]:
    """Middleware that lets in bearer tokens and signed addresses of ours, whatever the route."""

    async def check(request: Request, answer: Answer) -> Response:
        path: str = request.scope["path"]  # that of the routes; the address is made with a header of the caller's
        if stranger := foreign_page(request):
            return error_response(403, "AuthenticationFailed", stranger)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if path.startswith(SCORING):
            return await answer(request)
        if scheme.lower() == "bearer":
            if identity.is_token(token):
                return await answer(request)
            return refuse(request, 401, "InvalidAuthenticationToken", "The token is not one of this workspace.")
        if "sig" in request.query_params:
            if identity.is_signed(request.method, path, dict(request.query_params)):
                return await answer(request)
            return refuse(request, 403, "AuthenticationFailed", "The signature does not open this address.")
        return refuse(request, 401, "AuthenticationFailed", "This workspace answers only those who know its secret.")

    return check


def check_workspace(subscription: str, group: str, workspace: str) -> None:
    """Refuse any workspace but the one there is."""
    asked = (subscription.lower(), group.lower(), workspace.lower())
    if asked != (SUBSCRIPTION, RESOURCE_GROUP, WORKSPACE):
        raise not_found(
            f'workspace "{workspace}" in resource group "{group}" of subscription {subscription}: there is one, '
            f'"{WORKSPACE}" in "{RESOURCE_GROUP}" of {SUBSCRIPTION}'
        )


def everything_else(path: str, request: Request) -> None:
    """What is not spoken is said to be so, and by name."""
    _, found, operation = path.partition(f"{PROVIDER}/workspaces/")
    scope, _, rest = operation.partition("/")
    if scope and not rest and request.method in OF_THE_WORKSPACE:
        raise not_spoken(OF_THE_WORKSPACE[request.method])
    kind, _, name = rest.partition("/")
    if kind in KINDS and name:  # one with a slash in it has no route
        check_name("the name of an asset", name.partition("/versions")[0])
    below = (rest if found else path.partition(f"{PROVIDER}/")[2]) or path
    raise not_spoken(named(below, f"{request.method} {below}"))
