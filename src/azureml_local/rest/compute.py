"""Routes of compute: every cluster is this machine; what is said of the ones that somebody made is remembered."""

import os
from pathlib import Path

from fastapi import APIRouter, Response

from azureml_local.arm_ids import LOCATION, PROVIDER, resource_id
from azureml_local.rest.bodies import Json, page
from azureml_local.rest.context import Here
from azureml_local.rest.errors import not_spoken
from azureml_local.rest.requests import Body, shown
from azureml_local.rest.shapes import COMPUTE, check, check_name

COMPUTES = "computes"
THIS_MACHINE = "local"
NO_NODES: Json = {"nodes": [], "nextLink": None}

computes = APIRouter(prefix=f"/{COMPUTES}")  # below {workspace}
locations = APIRouter(prefix=f"/subscriptions/{{subscription}}/providers/{PROVIDER}/locations/{{location}}")


@computes.get("")
def list_computes(here: Here) -> Json:
    """This machine, and the clusters that were made."""
    made = [compute_body(cluster.name, cluster.body) for cluster in here.store.all(COMPUTES)]
    return page([compute_body(THIS_MACHINE), *made])


@computes.get("/{name}")
def get_compute(name: str, here: Here) -> Json:
    """Any cluster asked for."""
    made = here.store.get(COMPUTES, name)
    return compute_body(name, made.body if made else None)


@computes.put("/{name}")
def put_compute(name: str, body: Body, here: Here) -> Json:
    """Remember a cluster's settings; its work is done on this machine."""
    check_name("the name of a compute", name)
    check(body, COMPUTE)
    given = body.get("properties") or {}
    if (kind := given.get("computeType")) not in (None, "AmlCompute"):
        raise not_spoken(f"compute of type {shown(kind)}")
    settings = {key: value for key, value in (given.get("properties") or {}).items() if value is not None}
    said = {"description": given.get("description"), "tags": body.get("tags") or {}, "settings": settings}
    return compute_body(name, here.store.put(COMPUTES, name, "", said).body)


@computes.delete("/{name}")
def delete_compute(name: str, here: Here) -> Response:
    """Forget a cluster's settings."""
    return Response(status_code=200 if here.store.delete(COMPUTES, name) else 204)


@computes.post("/{name}/listNodes")
def list_nodes() -> Json:
    """No nodes: the machine has no addresses for others."""
    return NO_NODES


@locations.get("/vmSizes")
def list_sizes() -> Json:
    """The one size there is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = {
        "name": THIS_MACHINE,
        "family": THIS_MACHINE,
        "vCPUs": os.cpu_count(),
        "gpus": len(list(Path("/dev").glob("nvidia[0-9]*"))),
        "osVhdSizeMB": 0,
        "maxResourceVolumeMB": 0,
        "memoryGB": round(memory / 2**30, 1),
        "lowPriorityCapable": False,
        "premiumIO": False,
        "supportedComputeTypes": ["AmlCompute"],
    }
    return {"value": [size]}


@locations.get("/usages")
def list_usages() -> Json:
    """No quota is counted here."""
    return page([])


def compute_body(name: str, made: Json | None = None) -> Json:
    """A cluster's ARM body, whatever its name: it is this machine."""
    said = made or {}
    cluster = {
        "vmSize": THIS_MACHINE,
        "vmPriority": "Dedicated",
        "scaleSettings": {"maxNodeCount": 1, "minNodeCount": 1, "nodeIdleTimeBeforeScaleDown": "PT120S"},
        "allocationState": "Steady",
        "currentNodeCount": 1,
        **said.get("settings", {}),
    }
    properties = {
        "computeType": "AmlCompute",
        "computeLocation": LOCATION,
        "description": said.get("description") or "This machine.",
        "provisioningState": "Succeeded",
        "properties": cluster,
    }
    kind = f"{PROVIDER}/workspaces/{COMPUTES}"
    envelope = {"id": resource_id(COMPUTES, name), "name": name, "type": kind, "location": LOCATION}
    return {**envelope, "tags": said.get("tags", {}), "properties": properties}
