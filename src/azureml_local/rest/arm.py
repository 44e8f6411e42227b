"""Routes of the workspace itself: cloud metadata, discovery, the workspace and its datastores."""

from fastapi import APIRouter

from azureml_local.arm_ids import CLOUD, LOCATION, PROVIDER, WORKSPACE_ID, resource_id
from azureml_local.blobs import DATASTORES
from azureml_local.connection import METADATA_PATH
from azureml_local.identity import TENANT, WRITE
from azureml_local.rest.bodies import Json, page
from azureml_local.rest.context import Base, Here, signed
from azureml_local.rest.errors import not_found
from azureml_local.spec import SUBSCRIPTION, WORKSPACE

DISCOVERY_PATH = "/discovery"
DEFAULT_DATASTORE = "workspaceblobstore"

roots = APIRouter()  # what is asked before anything of a workspace is known
workspaces = APIRouter()  # below {workspace}


@roots.get(METADATA_PATH)
def get_metadata(base: Base) -> list[Json]:
    """The clouds there are: ours.

    The SDK makes the audience of its tokens from the portal's name after the second dot.
    """
    authentication = {"loginEndpoint": base, "audiences": [f"{base}/"], "tenant": TENANT, "identityProvider": "AAD"}
    cloud = {
        "name": CLOUD,
        "portal": "https://portal.azure.local/",
        "resourceManager": f"{base}/",
        "authentication": authentication,
        "suffixes": {"storage": "core.local"},
    }
    return [cloud]


@roots.get(DISCOVERY_PATH)
def get_discovery(base: Base) -> Json:
    """Where the other planes are: in the same place."""
    return dict.fromkeys(("api", "history", "experimentation", "modelmanagement", "studio"), base)


@roots.get("/subscriptions/{subscription}")
def get_subscription(subscription: str) -> Json:
    """The subscription, for clients that look before they ask."""
    identity = f"/subscriptions/{subscription}"
    return {"id": identity, "subscriptionId": SUBSCRIPTION, "tenantId": TENANT, "displayName": CLOUD}


@roots.get(f"/subscriptions/{{subscription}}/providers/{PROVIDER}/workspaces")
@roots.get(f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{PROVIDER}/workspaces")
def list_workspaces(base: Base, here: Here) -> Json:
    """The workspace there is."""
    return page([get_workspace(base, here)])


@workspaces.get("")
def get_workspace(base: Base, here: Here) -> Json:
    """The workspace."""
    properties = {
        "friendlyName": WORKSPACE,
        "workspaceId": SUBSCRIPTION,
        "discoveryUrl": signed(base, DISCOVERY_PATH, here),
        "mlFlowTrackingUri": here.home.tracking_uri,
        "provisioningState": "Succeeded",
        "publicNetworkAccess": "Disabled",
        "storageAccount": "",
        "keyVault": "",
    }
    return {
        "id": WORKSPACE_ID,
        "name": WORKSPACE,
        "type": f"{PROVIDER}/workspaces",
        "location": LOCATION,
        "kind": "Default",
        "tags": {},
        "identity": {"type": "SystemAssigned", "tenantId": TENANT, "principalId": TENANT},
        "properties": properties,
    }


@workspaces.get("/datastores")
def list_datastores(base: Base, isDefault: bool = False) -> Json:
    """All datastores, or the default one."""
    names = [name for name in DATASTORES if name == DEFAULT_DATASTORE or not isDefault]
    return page(datastore_body(name, base) for name in names)


@workspaces.get("/datastores/{name}")
def get_datastore(name: str, base: Base) -> Json:
    """A datastore."""
    return datastore_body(name, base)


@workspaces.post("/datastores/{name}/listSecrets")
def list_secrets(name: str, here: Here) -> Json:
    """The signature that opens a datastore's container."""
    return {"secretsType": "Sas", "sasToken": here.identity.sign(f"/blob/{_container(name)}", permissions=WRITE)}


def datastore_body(name: str, base: str) -> Json:
    """A datastore's ARM body.

    The SDK builds `https://{accountName}.blob.{suffix}`; with the # in the account's name, all after it is dropped and
    requests come to us.
    """
    properties = {
        "datastoreType": "AzureBlob",
        "accountName": f"{base.removeprefix('https://')}/blob#",
        "containerName": _container(name),
        "endpoint": "core.local",
        "protocol": "https",
        "credentials": {"credentialsType": "Sas"},
        "isDefault": name == DEFAULT_DATASTORE,
        "tags": {},
        "properties": {},
    }
    kind = f"{PROVIDER}/workspaces/datastores"
    return {"id": resource_id("datastores", name), "name": name, "type": kind, "properties": properties}


def _container(datastore: str) -> str:
    if datastore not in DATASTORES:
        raise not_found(f'datastore "{datastore}"; it has {" and ".join(DATASTORES)}')
    return DATASTORES[datastore]
