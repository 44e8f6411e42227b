"""What is asked without encryption, on this machine only: tokens, MLflow's REST interface and the pages of jobs."""

from fastapi import FastAPI

from azureml_local.mlflow_rest import PREFIX, MlflowServer, mlflow_router
from azureml_local.rest.app import create_page_app
from azureml_local.rest.tokens import identity_app
from azureml_local.workspace import Workspace


def create_plain_app(workspace: Workspace, address: str) -> FastAPI:
    """The application behind `address`, as in http://127.0.0.1:40123; jobs and their links are told of it.

    A browser does not know the certificate behind which the rest is, and jobs should not have to.
    """
    home, token = workspace.home, workspace.identity.tracking_token
    app = identity_app(workspace.identity)
    app.include_router(mlflow_router(MlflowServer(home.tracking_uri, home.path / "artifacts"), token))
    app.mount("", create_page_app(workspace))
    workspace.jobs.track_over({"MLFLOW_TRACKING_URI": address + PREFIX, "MLFLOW_TRACKING_TOKEN": token})
    workspace.page_address = address
    return app
