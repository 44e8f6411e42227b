"""Routes of the versioned assets: one generic set for codes, environments, components, data and models."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from azureml_local.assets import KINDS, is_archived
from azureml_local.blobs import BLOBSTORE
from azureml_local.rest.bodies import Json, arm_body, page
from azureml_local.rest.context import Base, Here, signed
from azureml_local.rest.errors import not_found, not_spoken
from azureml_local.store import Resource
from azureml_local.workspace import Workspace

CONTAINERS = "containers"  # kind of the documents that hold what is said of a name, not of a version


def _kind(kind: str, request: Request) -> str:
    if kind not in KINDS:
        raise not_spoken(f'"{request.method} {kind}"')
    return kind


Kind = Annotated[str, Depends(_kind)]
View = Annotated[str, Query(alias="listViewType")]

assets = APIRouter()  # below {workspace}, after all routes that name what they are about


@assets.post("/codes/{name}/versions/{version}/startPendingUpload")
def start_pending_upload(name: str, base: Base, here: Here) -> Json:
    """Where the files of a code asset may be put."""
    folder = f"/blob/{BLOBSTORE}/codes/{name}"
    credential = {"credentialType": "SAS", "sasUri": signed(base, folder, here)}
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
def put_container(kind: Kind, name: str, body: dict[str, Any], here: Here) -> Json:
    """Describe a name, or archive it."""
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
) -> Json:
    """The versions of a name; for code, those of any name with equal files."""
    if digest:
        found = [item for item in here.store.all(kind) if _digest(item) == digest]
    else:
        found = [item for item in here.store.all(kind, name) if _is_seen(is_archived(item), view)]
    ordered = found[::-1] if order.endswith("desc") else found
    return page(arm_body(item) for item in ordered[:top])


@assets.get("/{kind}/{name}/versions/{version}")
def get_version(kind: Kind, name: str, version: str, here: Here) -> Json:
    """A version."""
    found = here.store.get(kind, name, version)
    if not found:
        raise not_found(f"{kind} {name}:{version}")
    return arm_body(found)


@assets.put("/{kind}/{name}/versions/{version}")
def put_version(kind: Kind, name: str, version: str, body: dict[str, Any], here: Here) -> JSONResponse:
    """Create a version, or change one."""
    known = here.store.get(kind, name, version)
    completed = {"properties": _complete(kind, body.get("properties") or {}, here)}
    return JSONResponse(arm_body(here.store.put(kind, name, version, completed)), 200 if known else 201)


@assets.delete("/{kind}/{name}/versions/{version}")
def delete_version(kind: Kind, name: str, version: str, here: Here) -> Response:
    """Forget a version; its files stay."""
    return Response(status_code=200 if here.store.delete(kind, name, version) else 204)


def container_body(kind: str, name: str, here: Workspace) -> Json:
    """A name with its latest and its next version, as ARM has it."""
    versions = here.store.all(kind, name)
    if not versions:
        raise not_found(f"{kind} {name}")
    described = here.store.get(CONTAINERS, f"{kind}/{name}")
    latest = here.assets.latest(kind, name) or versions[-1]
    properties: Json = {
        "isArchived": all(is_archived(version) for version in versions),
        "tags": {},
        "properties": {},
        **(described.body if described else {}),
        "latestVersion": latest.version,
        "nextVersion": here.assets.next_version(kind, name),
    }
    if kind == "data":
        properties["dataType"] = latest.body["properties"].get("dataType", "uri_folder")
    return arm_body(Resource(kind, name, "", {"properties": properties}, versions[0].created, latest.modified))


def _is_seen(archived: bool, view: str) -> bool:
    return view == "All" or archived == (view == "ArchivedOnly")


def _digest(resource: Resource) -> str | None:
    given = resource.body["properties"]["properties"]
    return given.get("hash_sha256")


def _complete(kind: str, sent: Json, here: Workspace) -> Json:
    """The properties with what the service would add to them."""
    given = {key: value for key, value in sent.items() if value is not None}
    properties: Json = {"tags": {}, "properties": {}, "isArchived": False, "isAnonymous": False, **given}
    properties["provisioningState"] = "Succeeded"
    if kind == "models":
        properties["modelUri"] = here.assets.settle(str(properties.get("modelUri")))
        return {"flavors": {}, "modelType": "custom_model", **properties}
    if kind == "environments":
        return {"environmentType": "UserCreated", "osType": "Linux", **properties}
    if kind == "components":
        spoken = ("command", "pipeline")
        if (component := (properties.get("componentSpec") or {}).get("type")) not in spoken:
            raise not_spoken(f'components of type "{component}"')
    return properties
