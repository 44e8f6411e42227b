"""Routes of the versioned assets: one generic set for codes, environments, components, data and models."""

import sqlite3
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from azureml_local.assets import KINDS, is_archived
from azureml_local.blobs import BLOBSTORE
from azureml_local.identity import WRITE
from azureml_local.metrics import has_model
from azureml_local.rest.asset_bodies import completed, refuse_change
from azureml_local.rest.bodies import Json, arm_body, page
from azureml_local.rest.context import Base, Here, signed
from azureml_local.rest.errors import RestError, named, not_found, not_spoken
from azureml_local.rest.requests import Body
from azureml_local.rest.shapes import ASSET, FLAG, SAID, check, check_name
from azureml_local.store import Resource
from azureml_local.workspace import Workspace

CONTAINERS = "containers"  # kind of the documents that hold what is said of a name, not of a version
DEFAULT_VERSION = "azureml_default"  # what the SDK asks for where it is given no version of a component


def _kind(kind: str, request: Request) -> str:
    if kind not in KINDS:
        raise not_spoken(named(kind, f"{request.method} {kind}"))
    return kind


Kind = Annotated[str, Depends(_kind)]
View = Annotated[str, Query(alias="listViewType")]
OF_MLFLOW = (
    'The local workspace has no {what}. "{name}" is a model of MLflow\'s registry, which is another one here: register '
    'it by client.models.create_or_update(Model(name="{name}", type="mlflow_model", path=...)) with the path of a '
    'folder, "runs:/JOB/PATH" or "azureml://jobs/JOB/outputs/OUTPUT".'
)

assets = APIRouter()  # below {workspace}, after all routes that name what they are about


@assets.post("/codes/{name}/versions/{version}/startPendingUpload")
def start_pending_upload(name: str, base: Base, here: Here) -> Json:
    """Where the files of a code asset may be put."""
    check_name("the name of an asset", name)
    folder = f"/blob/{BLOBSTORE}/codes/{name}"
    credential = {"credentialType": "SAS", "sasUri": signed(base, folder, here, WRITE)}
    reference = {"blobUri": f"{base}{folder}", "storageAccountArmId": "", "credential": credential}
    return {"pendingUploadType": "TemporaryBlobReference", "blobReferenceForConsumption": reference}


@assets.get("/{kind}")
def list_names(kind: Kind, here: Here, view: View = "ActiveOnly") -> Json:
    """The names of a kind, each as a container."""
    named = [resource.name for resource in here.store.all(kind) if not resource.body["properties"]["isAnonymous"]]
    bodies = [container_body(kind, name, here) for name in dict.fromkeys(named)]
    return page(body for body in bodies if _is_seen(body["properties"]["isArchived"], view))


@assets.get("/{kind}/{name}")
def get_container(kind: Kind, name: str, here: Here) -> Json:
    """A name with its latest and its next version."""
    return container_body(kind, name, here)


@assets.put("/{kind}/{name}")
def put_container(kind: Kind, name: str, body: Body, here: Here) -> Json:
    """Describe a name, or archive it."""
    check_name("the name of an asset", name)
    check(body, {"properties": {**SAID, "isArchived": FLAG}})
    here.store.put(CONTAINERS, f"{kind}/{name}", "", body.get("properties") or {})
    return container_body(kind, name, here)


@assets.get("/{kind}/{name}/versions")
def list_versions(
    kind: Kind,
    name: str,
    here: Here,
    view: View = "ActiveOnly",
    order: Annotated[str, Query(alias="$orderBy")] = "",
    top: Annotated[int | None, Query(alias="$top", ge=0)] = None,
    digest: Annotated[str, Query(alias="hash")] = "",
    stage: str = "",
) -> Json:
    """The versions of a name; for code, those of any name with equal files."""
    if digest:
        found = [item for item in here.store.all(kind) if _digest(item) == digest]
    else:
        hidden = bool(_described(kind, name, here).get("isArchived"))
        found = [item for item in here.store.all(kind, name) if _is_seen(hidden or is_archived(item), view)]
    if stage:
        found = [item for item in found if item.body["properties"].get("stage") == stage]
    ordered = found[::-1] if order.endswith("desc") else found
    return page(arm_body(item) for item in ordered[:top])


@assets.get("/{kind}/{name}/versions/{version}")
def get_version(kind: Kind, name: str, version: str, here: Here) -> Json:
    """A version."""
    latest = version == DEFAULT_VERSION
    found = here.assets.latest(kind, name) if latest else here.store.get(kind, name, version)
    if not found:
        raise _absent(kind, name, f"{kind} {name}:{version}", here)
    return arm_body(found)


@assets.put("/{kind}/{name}/versions/{version}")
def put_version(kind: Kind, name: str, version: str, body: Body, here: Here) -> JSONResponse:
    """Create a version, or change one."""
    check_name("the name of an asset", name)
    check_name("the version of an asset", version)
    check(body, {"properties": ASSET})
    properties = completed(kind, name, version, body.get("properties") or {}, here)
    with here.store.together():
        known = here.store.get(kind, name, version)
        if known:
            refuse_change(known, properties)
        kept = here.store.put(kind, name, version, {"properties": properties})
    return JSONResponse(arm_body(kept), 200 if known else 201)


@assets.delete("/{kind}/{name}/versions/{version}")
def delete_version(kind: Kind, name: str, version: str, here: Here) -> Response:
    """Forget a version; its files stay."""
    return Response(status_code=200 if here.store.delete(kind, name, version) else 204)


def container_body(kind: str, name: str, here: Workspace) -> Json:
    """A name with its latest and its next version, as ARM has it."""
    versions = here.store.all(kind, name)
    if not versions:
        raise _absent(kind, name, f"{kind} {name}", here)
    latest = here.assets.latest(kind, name) or versions[-1]
    properties: Json = {
        "isArchived": all(is_archived(version) for version in versions),
        "tags": {},
        "properties": {},
        **_described(kind, name, here),
        "latestVersion": latest.version,
        "nextVersion": here.assets.next_version(kind, name),
    }
    if kind == "data":
        properties["dataType"] = latest.body["properties"].get("dataType", "uri_folder")
    return arm_body(Resource(kind, name, "", {"properties": properties}, versions[0].created, latest.modified))


def _absent(kind: str, name: str, what: str, here: Workspace) -> RestError:
    """404, with the way out where MLflow's registry, which is another one here, has a model of that name."""
    with suppress(sqlite3.Error):  # it is not there all the same
        if kind == "models" and has_model(here.home.runs_database, name):
            return RestError(404, "ResourceNotFound", OF_MLFLOW.format(what=what, name=name))
    return not_found(what)


def _described(kind: str, name: str, here: Workspace) -> Json:
    """What is said of a name."""
    described = here.store.get(CONTAINERS, f"{kind}/{name}")
    return described.body if described else {}


def _is_seen(archived: bool, view: str) -> bool:
    return view == "All" or archived == (view == "ArchivedOnly")


def _digest(resource: Resource) -> str | None:
    given = resource.body["properties"]["properties"]
    return given.get("hash_sha256")
