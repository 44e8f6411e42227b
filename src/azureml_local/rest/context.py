"""What every route may ask for: the workspace behind the interface, and the address at which it was called."""

from typing import Annotated

from fastapi import Depends, Request

from azureml_local.identity import READ
from azureml_local.workspace import Workspace


def _workspace(request: Request) -> Workspace:
    workspace: Workspace = request.app.state.workspace
    return workspace


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


Here = Annotated[Workspace, Depends(_workspace)]
Base = Annotated[str, Depends(_base)]  # as in https://127.0.0.1:40123


def signed(base: str, path: str, here: Workspace, permissions: str = READ) -> str:
    """An address that opens without a token: the path itself and what is below it."""
    return f"{base}{path}?{here.identity.sign(path, permissions=permissions)}"
