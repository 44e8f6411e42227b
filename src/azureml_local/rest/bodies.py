"""Resources of the store as the ARM bodies that the SDK reads."""

from collections.abc import Iterable
from typing import Any

from azureml_local.arm_ids import PROVIDER, resource_id
from azureml_local.store import Resource

Json = dict[str, Any]
USER = "azureml-local"


def system_data(resource: Resource) -> Json:
    """Who made a resource, and when."""
    return {
        "createdAt": resource.created,
        "createdBy": USER,
        "createdByType": "User",
        "lastModifiedAt": resource.modified,
        "lastModifiedBy": USER,
        "lastModifiedByType": "User",
    }


def arm_body(resource: Resource) -> Json:
    """A resource with its ARM envelope: id, name, type and the document itself."""
    kind = f"{PROVIDER}/workspaces/{resource.kind}" + ("/versions" if resource.version else "")
    return {
        **resource.body,
        "id": resource_id(resource.kind, resource.name, resource.version),
        "name": resource.version or resource.name,
        "type": kind,
        "systemData": system_data(resource),
    }


def page(items: Iterable[Json]) -> Json:
    """A list in one page."""
    return {"value": list(items), "nextLink": None}
