"""Routes of online endpoints and their deployments; what takes its time is an Azure-AsyncOperation."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from azureml_local.arm_ids import LOCATION, PROVIDER, WORKSPACE_ID
from azureml_local.endpoints import DEPLOYMENTS, ENDPOINTS, OPERATIONS, SCORING_PATH
from azureml_local.node_bodies import seconds_of
from azureml_local.rest.bodies import Json, arm_body, page, system_data
from azureml_local.rest.context import Base, Here
from azureml_local.rest.errors import bad_request, not_found, not_spoken
from azureml_local.rest.requests import Body
from azureml_local.rest.shapes import DEPLOYMENT, ENDPOINT, KEY, LOGS, check, check_name
from azureml_local.store import Resource
from azureml_local.workspace import Workspace

POLL_AGAIN = {"x-ms-retry-after-ms": "200"}
# What Azure answers for a deployment that says nothing of them.
REQUESTS = {"requestTimeout": "PT5S", "maxConcurrentRequestsPerInstance": 1}
PROBE = {"failureThreshold": 30, "successThreshold": 1, "timeout": "PT2S", "period": "PT10S", "initialDelay": "PT10S"}

endpoints = APIRouter(prefix=f"/{ENDPOINTS}")  # below {workspace}
deployments = APIRouter(prefix=f"/{ENDPOINTS}/{{endpoint}}/{DEPLOYMENTS}")
operations = APIRouter(prefix=f"/{OPERATIONS}")


@endpoints.get("")
def list_endpoints(base: Base, here: Here) -> Json:
    """All endpoints."""
    return page(endpoint_body(endpoint, base) for endpoint in here.endpoints.all())


@endpoints.get("/{name}")
def get_endpoint(name: str, base: Base, here: Here) -> Json:
    """An endpoint."""
    return endpoint_body(find_endpoint(name, here), base)


@endpoints.put("/{name}")
def put_endpoint(name: str, body: Body, base: Base, here: Here) -> JSONResponse:
    """Create an endpoint, or change its description and traffic."""
    check_name("the name of an endpoint", name)
    check(body, ENDPOINT)
    mode = (body.get("properties") or {}).get("authMode") or "Key"
    if mode.lower() != "key":
        raise not_spoken(f'endpoints with auth_mode "{mode}", only "key"')
    known = here.endpoints.get(name)
    return JSONResponse(endpoint_body(here.endpoints.put(name, body), base), 200 if known else 201)


@endpoints.patch("/{name}")
def patch_endpoint(name: str, body: Body, base: Base, here: Here) -> Json:
    """Change some fields of an endpoint."""
    check(body, ENDPOINT)
    return endpoint_body(here.endpoints.change(find_endpoint(name, here).name, body), base)


@endpoints.delete("/{name}")
def delete_endpoint(name: str, base: Base, here: Here) -> Response:
    """Begin to remove an endpoint with its deployments."""
    if not here.endpoints.get(name):
        return Response(status_code=204)
    return Response(status_code=202, headers=_operation(base, here.endpoints.remove_later(name)))


@endpoints.post("/{name}/listKeys")
def list_keys(name: str, here: Here) -> Json:
    """The two keys that open an endpoint."""
    return here.endpoints.keys(find_endpoint(name, here).name)


@endpoints.post("/{name}/regenerateKeys")
def renew_key(name: str, body: Body, here: Here) -> Response:
    """Draw a new primary or secondary key."""
    check(body, KEY)
    kind = body.get("keyType") or "Primary"
    if kind.lower() not in ("primary", "secondary"):
        raise bad_request(f'keyType: expected Primary or Secondary, got "{kind}".')
    here.endpoints.renew_key(find_endpoint(name, here).name, kind)
    return Response(status_code=200)


@operations.get("/{name}")
def get_operation(name: str, here: Here) -> JSONResponse:
    """How far the work in the background is."""
    operation = here.endpoints.operation(name)
    if not operation:
        raise not_found(f"operation {name}")
    return JSONResponse(operation, headers=POLL_AGAIN)


@deployments.get("")
def list_deployments(endpoint: str, here: Here) -> Json:
    """The deployments of an endpoint."""
    return page(deployment_body(deployment) for deployment in here.endpoints.deployments(endpoint))


@deployments.get("/{name}")
def get_deployment(endpoint: str, name: str, here: Here) -> Json:
    """A deployment."""
    return deployment_body(_deployment(endpoint, name, here))


@deployments.put("/{name}")
def put_deployment(endpoint: str, name: str, body: Body, base: Base, here: Here) -> JSONResponse:
    """Begin to serve a deployment."""
    check_name("the name of a deployment", name)
    check(body, DEPLOYMENT)
    settings = (body.get("properties") or {}).get("requestSettings") or {}
    seconds_of(settings.get("requestTimeout"), "properties.requestSettings.requestTimeout")
    known = here.endpoints.deployment(find_endpoint(endpoint, here).name, name)
    deployment, operation = here.endpoints.deploy(endpoint, name, body)
    return JSONResponse(deployment_body(deployment), 200 if known else 201, headers=_operation(base, operation))


@deployments.delete("/{name}")
def delete_deployment(endpoint: str, name: str, base: Base, here: Here) -> Response:
    """Begin to remove a deployment."""
    if not here.endpoints.deployment(endpoint, name):
        return Response(status_code=204)
    return Response(status_code=202, headers=_operation(base, here.endpoints.remove_later(endpoint, name)))


@deployments.post("/{name}/getLogs")
def get_logs(endpoint: str, name: str, body: Body, here: Here) -> Json:
    """The end of what a deployment's server has written."""
    _deployment(endpoint, name, here)
    check(body, LOGS)
    return {"content": here.endpoints.log(endpoint, name, body.get("tail") or 100)}


def endpoint_body(endpoint: Resource, base: str) -> Json:
    """An endpoint's ARM body."""
    scoring = base + SCORING_PATH.format(endpoint=endpoint.name)
    properties = {
        "authMode": "Key",
        "traffic": {},
        "mirrorTraffic": {},
        "properties": {},
        "publicNetworkAccess": "Disabled",
        **_given(endpoint.body.get("properties")),
        "scoringUri": scoring,
        "swaggerUri": f"{scoring}/swagger.json",
        "provisioningState": "Succeeded",
    }
    tags = endpoint.body.get("tags") or {}
    return {**arm_body(endpoint), "location": LOCATION, "kind": "Managed", "tags": tags, "properties": properties}


def deployment_body(deployment: Resource) -> Json:
    """A deployment's ARM body, with Azure's values where it gives none."""
    said = deployment.body.get("properties") or {}
    defaults: dict[str, Json] = {"requestSettings": REQUESTS, "livenessProbe": PROBE, "readinessProbe": PROBE}
    properties = {
        "endpointComputeType": "Managed",
        "scaleSettings": {"scaleType": "Default"},
        "properties": {},
        "environmentVariables": {},
        "egressPublicNetworkAccess": "Disabled",
        **_given(said),
        **{name: {**values, **_given(said.get(name))} for name, values in defaults.items()},
    }
    return {
        "id": f"{WORKSPACE_ID}/{ENDPOINTS}/{deployment.name}/{DEPLOYMENTS}/{deployment.version}",
        "name": deployment.version,
        "type": f"{PROVIDER}/workspaces/{ENDPOINTS}/{DEPLOYMENTS}",
        "location": LOCATION,
        "tags": deployment.body.get("tags") or {},
        "sku": deployment.body.get("sku") or {"name": "Default", "capacity": 1},
        "properties": properties,
        "systemData": system_data(deployment),
    }


def _given(properties: Json | None) -> Json:
    return {key: value for key, value in (properties or {}).items() if value is not None}


def _operation(base: str, name: str) -> dict[str, str]:
    return {"Azure-AsyncOperation": f"{base}{WORKSPACE_ID}/{OPERATIONS}/{name}", **POLL_AGAIN}


def find_endpoint(name: str, here: Workspace) -> Resource:
    """The endpoint, or 404."""
    endpoint = here.endpoints.get(name)
    if not endpoint:
        raise not_found(f"online endpoint {name}")
    return endpoint


def _deployment(endpoint: str, name: str, here: Workspace) -> Resource:
    deployment = here.endpoints.deployment(endpoint, name)
    if not deployment:
        raise not_found(f"deployment {name} of the online endpoint {endpoint}")
    return deployment
