"""Refusals, in the shape that Azure's clients read, and as a page where a browser asks."""

from html import escape
from pathlib import Path
from sqlite3 import OperationalError
from string import Template

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from azureml_local.blobs import BlobExistsError, BlobPathError
from azureml_local.disk import is_full
from azureml_local.endpoints import BusyError
from azureml_local.job_bodies import NotSpokenError
from azureml_local.spec import SpecError

# What Azure ML has and the local workspace has not, by the part of the address that stands for it.
ELSEWHERE = {
    "batchEndpoints": "batch endpoints",
    "serverlessEndpoints": "serverless endpoints",
    "schedules": "schedules",
    "registries": "registries",
    "connections": "connections",
    "featurestoreEntities": "feature stores",
    "featuresets": "feature stores",
    "featuresetversions": "feature stores",
    "marketplaceSubscriptions": "marketplace subscriptions",
    "outboundRules": "managed networks",
    "datastores": "datastores of your own",
    "indexes": "indexes",
}


REFUSED_PAGE = Path(__file__).parents[1] / "pages" / "refused.html"
CLOSED = (401, 403)
LINK = "This link is not valid any more, or not complete: a link to a page of the workspace opens for a day."
FRESH_LINK = "Run <code>azureml-local status</code> in a terminal: it prints a fresh link."


class RestError(Exception):
    """A request that is refused: HTTP status, Azure's error code, and a sentence for the user."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def not_found(what: str) -> RestError:
    """404 for a resource that the workspace does not know."""
    return RestError(404, "ResourceNotFound", f"The local workspace has no {what}.")


def bad_request(message: str) -> RestError:
    """400 for a request that cannot be carried out as written."""
    return RestError(400, "UserError", message)


def not_spoken(what: str) -> RestError:
    """501 for a part of Azure ML that the local workspace does not have."""
    return RestError(501, "NotImplemented", f"The local workspace does not speak {what}; run this on Azure ML.")


def named(path: str, call: str) -> str:
    """What a call that is not spoken is about: Azure's word for it where we know it, and the call itself."""
    words = next((words for part, words in ELSEWHERE.items() if part.lower() in path.lower().split("/")), "")
    return f'{words} ("{call}")' if words else f'"{call}"'


def error_response(status: int, code: str, message: str) -> JSONResponse:
    """Azure's error body; the header is what the storage clients read."""
    body = {"error": {"code": code, "message": message, "details": [], "additionalInfo": []}}
    return JSONResponse(body, status, headers={"x-ms-error-code": code})


def refuse(request: Request, status: int, code: str, message: str) -> Response:
    """The error that a request ends with: a page where a browser asks for one, Azure's error body for all others."""
    if "text/html" not in request.headers.get("accept", ""):
        return error_response(status, code, message)
    sentence, way_out = (LINK, FRESH_LINK) if status in CLOSED else (message, "")
    page = Template(REFUSED_PAGE.read_text(encoding="utf-8"))
    text = page.substitute(sentence=escape(sentence), way_out=way_out)
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    return Response(text, status, {"Content-Security-Policy": policy, "Cache-Control": "no-store"}, "text/html")


async def answer_error(request: Request, error: Exception) -> Response:
    """The reply to a request that failed; a mistake of ours is 500, and its trace is in the log."""
    refusal = _refusal(request, error)
    if refusal is None:
        failure = f"The local workspace failed: {error!r}. Its log has more."
        return refuse(request, 500, "InternalError", failure)
    return refuse(request, refusal.status, refusal.code, str(refusal))


def _refusal(request: Request, error: Exception) -> RestError | None:
    match error:
        case RestError():
            return error
        case BlobPathError():
            return RestError(400, "InvalidResourceName", str(error))
        case OperationalError() | OSError() if is_full(error):
            return RestError(507, "InsufficientStorage", "The disk of the workspace is full: make room, and try again.")
        case BlobExistsError():
            return RestError(409, "BlobAlreadyExists", str(error))
        case RecursionError():
            return bad_request("The request nests too much in one another.")
        case NotSpokenError():
            return not_spoken(str(error))
        case SpecError():
            return bad_request(str(error))
        case BusyError():
            return RestError(409, "Conflict", str(error))
        case HTTPException():
            return RestError(
                error.status_code, "UserError", f'{error.detail}: "{request.method} {request.url.path:.100}".'
            )
        case RequestValidationError():
            problems = "; ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors())
            return bad_request(f"The request cannot be read: {problems}.")
    return None
