"""Resources of the store as the ARM bodies that the SDK reads."""

import json
from collections.abc import Iterable
from typing import Any

from azureml_local.arm_ids import PROVIDER, resource_id
from azureml_local.rest.errors import bad_request
from azureml_local.store import Resource

Json = dict[str, Any]
Body = Json  # of a request
USER = "azureml-local"
SHOWN = 80  # characters of a value in an error sentence


def fields(body: Json, name: str, where: str = "") -> Json:
    """The object in a field of a request; an empty one where nothing is given. Raises RestError for any other value."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"{f'{where}.{name}' if where else name}: expected an object, got {shown(value)}.")
    return value


def shown(value: object) -> str:
    """A value as an error sentence shows it: as JSON, and not all of a long one."""
    text = json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


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
