"""The workspace, its datastores and its compute."""

from azure.ai.ml.entities import AmlCompute, AzureBlobDatastore, Workspace
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from operations.table import Session, operation, raises


@operation("workspaces.get")
def get_workspace(session: Session) -> None:
    workspace = session.client.workspaces.get(session.client.workspace_name)
    assert workspace.name == session.client.workspace_name
    assert workspace.discovery_url.startswith("https://127.0.0.1:")


@operation("workspaces.list")
def list_workspaces(session: Session) -> None:
    assert session.client.workspace_name in [workspace.name for workspace in session.client.workspaces.list()]


@operation("workspaces.get of one that is not there")
def get_other_workspace(session: Session) -> None:
    error = raises(ResourceNotFoundError, lambda: session.client.workspaces.get("other"))
    assert "other" in str(error)


@operation("workspaces.begin_create is refused")
def create_workspace(session: Session) -> None:
    workspace = Workspace(name=session.name("workspace"), location="local")
    error = raises(Exception, lambda: session.client.workspaces.begin_create(workspace).result())
    assert "does not speak" in str(error), error


@operation("datastores.get_default")
def get_default_datastore(session: Session) -> None:
    assert session.client.datastores.get_default().name == "workspaceblobstore"


@operation("datastores.get")
def get_datastore(session: Session) -> None:
    datastore = session.client.datastores.get("workspaceartifactstore")
    assert (datastore.name, datastore.container_name) == ("workspaceartifactstore", "azureml")


@operation("datastores.get with secrets")
def get_datastore_with_secrets(session: Session) -> None:
    datastore = session.client.datastores.get("workspaceblobstore", include_secrets=True)
    assert "sig=" in datastore.credentials.sas_token


@operation("datastores.list")
def list_datastores(session: Session) -> None:
    names = {datastore.name for datastore in session.client.datastores.list()}
    assert {"workspaceblobstore", "workspaceartifactstore"} <= names


@operation("datastores.get of one that is not there")
def get_other_datastore(session: Session) -> None:
    error = raises(ResourceNotFoundError, lambda: session.client.datastores.get("nope"))
    assert "workspaceblobstore" in str(error)


@operation("datastores.create_or_update is refused")
def create_datastore(session: Session) -> None:
    datastore = AzureBlobDatastore(name="mine", account_name="account", container_name="container")
    error = raises(HttpResponseError, lambda: session.client.datastores.create_or_update(datastore))
    assert error.status_code == 501
    assert "datastores" in str(error)


@operation("compute.get of any name")
def get_compute(session: Session) -> None:
    assert session.client.compute.get("any-cluster").type == "amlcompute"


@operation("compute.begin_create_or_update")
def create_compute(session: Session) -> None:
    cluster = AmlCompute(name=session.name("cluster"), size="Standard_NC4as_T4_v3", min_instances=0, max_instances=3)
    session.client.compute.begin_create_or_update(cluster).result()
    assert session.client.compute.get(cluster.name).max_instances == 3


@operation("compute.list")
def list_compute(session: Session) -> None:
    names = [compute.name for compute in session.client.compute.list()]
    assert "local" in names
    assert session.name("cluster") in names


@operation("compute.begin_update")
def update_compute(session: Session) -> None:
    cluster = session.client.compute.get(session.name("cluster"))
    cluster.max_instances = 5
    session.client.compute.begin_update(cluster).result()
    assert session.client.compute.get(cluster.name).max_instances == 5


@operation("compute.list_nodes")
def list_nodes(session: Session) -> None:
    assert list(session.client.compute.list_nodes(session.name("cluster"))) == []


@operation("compute.list_sizes")
def list_sizes(session: Session) -> None:
    assert [size.name for size in session.client.compute.list_sizes()] == ["local"]


@operation("compute.list_usage")
def list_usage(session: Session) -> None:
    assert list(session.client.compute.list_usage()) == []


@operation("compute.begin_delete")
def delete_compute(session: Session) -> None:
    session.client.compute.begin_delete(session.name("cluster")).wait()
    assert session.name("cluster") not in [compute.name for compute in session.client.compute.list()]
