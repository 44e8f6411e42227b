"""MLflow's REST interface over the workspace's runs, for jobs whose own MLflow cannot open the workspace's database.

A database belongs to the MLflow that made it: an older one refuses its schema, and mlflow-skinny has no SQLAlchemy.
All of them speak REST 2.0. The answers are those of mlflow's own server, which is called in this process.
"""

from __future__ import annotations

import secrets
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

PREFIX = "/mlflow"
# Of what mlflow's server answers, that which its clients call for runs, experiments and models; artifacts are files
# of this machine, which clients write themselves.
_SPOKEN = ("/api/2.0/mlflow/", "/api/3.0/mlflow/")


class MlflowServer:
    """mlflow's own server without its socket. Safe to use from several threads."""

    def __init__(self, tracking_uri: str, artifacts: Path) -> None:
        """Answer from the database at `tracking_uri`, which must have been made; files of new runs go to `artifacts`.

        mlflow keeps its stores in module variables: one process answers for one workspace.
        """
        self._tracking_uri = tracking_uri
        self._artifacts = artifacts
        self._lock = threading.Lock()
        self._app: Any = None  # a Flask application

    def answer(self, method: str, path: str, query: str, content_type: str, body: bytes) -> Response:
        """What mlflow's server answers to a request."""
        client = self._opened().test_client(use_cookies=False)
        reply = client.open(quote(path), method=method, query_string=query, content_type=content_type, data=body)
        return Response(reply.get_data(), reply.status_code, media_type=reply.content_type)

    def _opened(self) -> Any:
        with self._lock:
            if self._app is None:
                # Seconds, unless the workspace has imported mlflow's stores already.
                from mlflow.server import app, handlers

                artifacts = str(self._artifacts)
                handlers.initialize_backend_stores(self._tracking_uri, self._tracking_uri, artifacts)
                self._app = app
        return self._app


def mlflow_router(server: MlflowServer, token: str) -> APIRouter:
    """Routes under `/mlflow`, for MLFLOW_TRACKING_URI; a client sends MLFLOW_TRACKING_TOKEN as its bearer token."""
    router = APIRouter(prefix=PREFIX)

    @router.api_route("{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def answer(path: str, request: Request) -> Response:
        if not secrets.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {token}".encode()):
            return _problem(401, "UNAUTHENTICATED", "MLFLOW_TRACKING_TOKEN is not the workspace's")
        if not path.startswith(_SPOKEN):
            return _problem(404, "ENDPOINT_NOT_FOUND", f"the local workspace does not speak {path}")
        body, content_type = await request.body(), request.headers.get("content-type", "")
        return await run_in_threadpool(server.answer, request.method, path, request.url.query, content_type, body)

    return router


def _problem(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error_code": code, "message": message}, status)
