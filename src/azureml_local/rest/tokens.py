"""The managed-identity endpoint, and who is answered at all."""

import hmac
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from azureml_local.identity import Identity

LOOPBACK_NAMES = ("127.0.0.1", "localhost")


def identity_app(identity: Identity) -> FastAPI:
    """The managed-identity endpoint that an untouched `DefaultAzureCredential()` asks for tokens."""
    app = FastAPI(openapi_url=None)

    @app.get("/msi/token")
    def token(request: Request, resource: str = "") -> JSONResponse:
        header = request.headers.get("x-identity-header", "")
        if stranger := foreign_page(request):
            return JSONResponse({"error": "unauthorized_client", "error_description": stranger}, 403)
        if not hmac.compare_digest(header.encode(), identity.header.encode()):
            return JSONResponse({"error": "unauthorized_client", "error_description": "Wrong identity header."}, 401)
        access_token, expires_on = identity.issue_token(resource)
        body = {"access_token": access_token, "expires_on": str(expires_on), "resource": resource}
        return JSONResponse({**body, "token_type": "Bearer"})

    return app


def foreign_page(request: Request) -> str:
    """Why a request comes from a page of somebody else that a browser shows; empty where it does not.

    Such a page may call any address, and by a name of its own that leads to this machine.
    """
    host = request.headers.get("host", "")
    if _hostname(host) not in LOOPBACK_NAMES:
        return f'This workspace answers only to {" and ".join(LOOPBACK_NAMES)}, not to "{host:.100}".'
    origin = request.headers.get("origin")
    if origin is not None and origin != f"{request.url.scheme}://{host}":
        return f'This workspace does not answer pages of "{origin:.100}".'
    return ""


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # it is no address at all
        return None
