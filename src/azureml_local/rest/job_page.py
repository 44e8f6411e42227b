"""The page behind a job's `Web View` link, the list of all jobs, and the files that they are made of."""

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request, Response

from azureml_local.connection import PAGES_PATH
from azureml_local.rest.context import Here
from azureml_local.rest.errors import not_found
from azureml_local.rest.jobs import JOB_PAGE

FOLDER = Path(__file__).parents[1] / "pages"
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
SIGNATURE = ("sv", "sr", "sp", "se", "sig")
# The address holds a signature: it is told to nobody, and nothing of the page stays on the disk.
PRIVATE = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
POLICY = (
    "default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

JOBS_PAGE = PAGES_PATH  # nothing below it is a job called "-": names begin with a letter or a digit

job_page = APIRouter()


@job_page.get(JOB_PAGE)
def get_job_page(name: str, request: Request, here: Here) -> Response:
    """The page of a job: a frame that its scripts fill."""
    run = here.jobs.run(name)
    if not run:
        raise not_found(f"job {name}")
    title, address = run.body.get("displayName") or name, JOB_PAGE.format(name=quote(name))
    cancel = "" if run.body["parent"] else here.home.command(f"cancel {name}")
    return page_frame("job.html", title, address, request, cancel=cancel)


@job_page.get(JOBS_PAGE)
def get_jobs_page(request: Request) -> Response:
    """The list of all jobs. A signature that opens it opens every job: a page leads here only where it has that one."""
    return page_frame("jobs.html", "Jobs", f"{JOBS_PAGE}/-", request)


@job_page.get(JOB_PAGE + "/page/{file}")
def get_page_file(file: str) -> Response:
    """A script, the style sheet or the icon of the page."""
    return page_file(file)


def page_file(file: str) -> Response:
    """A file that pages are made of."""
    files = {path.name: path for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES}
    if file not in files:
        raise not_found(f"file {file} of the page")
    return Response(files[file].read_bytes(), media_type=MEDIA_TYPES[files[file].suffix], headers=PRIVATE)


def page_frame(file: str, title: str, address: str, request: Request, **own: str) -> Response:
    """A frame with its own fields, and the signature that it was opened with in the addresses of its files."""
    query = urlencode({key: request.query_params[key] for key in SIGNATURE if key in request.query_params})
    imports = _imports(address, query)
    fields = {name: escape(text) for name, text in own.items()}
    fields |= {"title": escape(title), "page": escape(f"{address}/page"), "query": escape(query), "imports": imports}
    is_wide = request.query_params.get("sr") == JOBS_PAGE
    fields["jobs"] = f'<a href="{JOBS_PAGE}?{escape(query)}">All jobs</a>' if is_wide else ""
    fields["head"] = _filled("head.html", fields)
    frame = _filled(file, fields)
    digest = base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode()
    headers = {**PRIVATE, "Content-Security-Policy": POLICY.format(digest=digest)}
    return Response(frame, media_type="text/html", headers=headers)


def _filled(file: str, fields: dict[str, str]) -> str:
    return Template((FOLDER / file).read_text(encoding="utf-8")).substitute(fields)


def _imports(address: str, query: str) -> str:
    """The import map of the scripts: an import between them would lose the signature, and nothing opens without it."""
    scripts = sorted(path.name for path in FOLDER.glob("*.js"))
    imports = {f"{address}/page/{script}": f"{address}/page/{script}?{query}" for script in scripts}
    return json.dumps({"imports": imports}).replace("<", "\\u003c")
