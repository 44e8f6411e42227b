"""The part of the Blob service's REST interface that the SDK uses: put, blocks, metadata, head, ranges, list."""

import os
import re
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from azureml_local.blobs import BlobPathError, Blobs, Metadata, md5
from azureml_local.rest.context import Here
from azureml_local.rest.errors import RestError, not_spoken
from azureml_local.rest.file_parts import read_part
from azureml_local.rest.requests import read_within

META = "x-ms-meta-"
METADATA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NOT_IN_XML = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]")  # readers of XML change what of it they take
RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


storage = APIRouter(prefix="/blob/{container}")


@storage.get("")
def list_blobs(container: str, here: Here, prefix: str = "", delimiter: str = "", comp: str = "") -> Response:
    """The blobs of a container; without `comp=list`, whether it is there."""
    here.blobs.path(container, prefix.strip("/"))
    if comp != "list":
        return Response(status_code=200)
    return Response(_listing(here.blobs, container, prefix, delimiter), media_type="application/xml")


@storage.head("/{name:path}")
def head_blob(container: str, name: str, here: Here) -> Response:
    """A blob's length, time and metadata. A name that cannot be is one that is not there: no reply says why to HEAD."""
    try:
        file = _existing(here.blobs, container, name)
    except BlobPathError as error:
        raise RestError(404, "BlobNotFound", str(error)) from error
    length = {"Content-Length": str(file.stat().st_size)}
    return Response(headers={**_headers(here.blobs, container, name), **length})


@storage.get("/{name:path}")
def get_blob(container: str, name: str, request: Request, here: Here) -> Response:
    """A blob's content, or a range of it."""
    file = _existing(here.blobs, container, name)
    return _content(file, _headers(here.blobs, container, name), request)


@storage.put("/{name:path}")
async def put_blob(
    container: str, name: str, request: Request, here: Here, comp: str = "", blockid: str = ""
) -> Response:
    """Write a blob, one of its blocks, the list of its blocks, or its metadata."""
    blobs, metadata = here.blobs, _sent_metadata(request)
    blobs.path(container, name)
    match comp:
        case "metadata":
            _existing(blobs, container, name)
            blobs.set_metadata(container, name, metadata)
            return Response(headers=_headers(blobs, container, name))
        case "block":
            with blobs.scratch() as file:
                await _receive(request, file)
                blobs.stage(container, name, blockid, file)
            return Response(status_code=201)
        case "blocklist":
            blocks = await read_within(request)
            await run_in_threadpool(_assemble, blobs, container, name, blocks, _only_new(request), metadata)
        case "":
            with blobs.scratch() as file:
                await _receive(request, file)
                await run_in_threadpool(blobs.adopt, container, name, file, _only_new(request), metadata)
        case _:
            raise not_spoken(f'the blob operation "{comp}"')
    return Response(status_code=201, headers=_headers(blobs, container, name))


@storage.delete("/{name:path}")
def delete_blob(container: str, name: str, here: Here) -> Response:
    """Remove a blob."""
    _existing(here.blobs, container, name)
    here.blobs.delete(container, name)
    return Response(status_code=202)


def _only_new(request: Request) -> bool:
    return request.headers.get("if-none-match") == "*"


def _existing(blobs: Blobs, container: str, name: str) -> Path:
    file = blobs.path(container, name)
    # With a slash at its end a name means what is below a folder, never a blob.
    if name.endswith("/") or not file.is_file():
        raise RestError(404, "BlobNotFound", f"There is no blob {name} in {container}.")
    return file


async def _receive(request: Request, file: Path) -> None:
    try:
        with file.open("wb") as target:
            async for chunk in request.stream():
                target.write(chunk)
    except ClientDisconnect:
        raise RestError(400, "IncompleteBody", "The content did not arrive as a whole.") from None
    expected = request.headers.get("content-md5")
    if expected and await run_in_threadpool(md5, file) != expected:
        raise RestError(400, "Md5Mismatch", "The content that arrived is not the content that was sent.")


def _assemble(blobs: Blobs, container: str, name: str, body: bytes, only_new: bool, metadata: Metadata) -> None:
    try:
        blobs.assemble(container, name, _blocks(body), only_new, metadata)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise RestError(400, "InvalidBlockList", f"The block list of {name} is not usable: {error}.") from error


def _blocks(body: bytes) -> list[str]:
    """The texts of the elements in a block list. Declarations, in which entities could grow, are refused unread."""
    blocks: list[str] = []
    depth = 0

    def start(_: str, __: object) -> None:
        nonlocal depth
        depth += 1
        if depth == 2:
            blocks.append("")

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def text(data: str) -> None:
        if depth == 2:
            blocks[-1] += data

    def refuse(*_: object) -> None:
        raise ValueError("it declares a document type")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(body, True)
    return blocks


def _sent_metadata(request: Request) -> dict[str, str]:
    sent = {key.removeprefix(META): value for key, value in request.headers.items() if key.startswith(META)}
    for key in sent:
        if not METADATA_NAME.fullmatch(key):
            raise RestError(400, "InvalidMetadata", f'"{key:.100}" cannot be the name of metadata.')
    return sent


def _headers(blobs: Blobs, container: str, name: str) -> dict[str, str]:
    status = blobs.path(container, name).stat()
    return {
        "Last-Modified": formatdate(status.st_mtime, usegmt=True),
        "ETag": f'"{status.st_mtime_ns:x}"',
        "Content-Type": "application/octet-stream",
        "Accept-Ranges": "bytes",
        "x-ms-blob-type": "BlockBlob",
        "x-ms-creation-time": formatdate(status.st_ctime, usegmt=True),
        **{f"{META}{key}": value for key, value in blobs.metadata(container, name).items()},
    }


def _content(file: Path, headers: dict[str, str], request: Request) -> Response:
    size = file.stat().st_size
    asked = request.headers.get("x-ms-range") or request.headers.get("range")
    if not asked:
        headers["Content-Length"] = str(size)
        return StreamingResponse(read_part(file, 0, size), headers=headers)
    first, last = _range(asked, size)
    headers["Content-Length"] = str(last - first + 1)
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return StreamingResponse(read_part(file, first, last - first + 1), 206, headers=headers)


def _range(asked: str, size: int) -> tuple[int, int]:
    match = RANGE.fullmatch(asked)
    first = int(match[1]) if match else size
    last = min(int(match[2]), size - 1) if match and match[2] else size - 1
    if not first <= last:
        raise RestError(416, "InvalidRange", f'The range "{asked:.100}" does not lie in {size} bytes.')
    return first, last


def _listing(blobs: Blobs, container: str, prefix: str, delimiter: str) -> bytes:
    root = ElementTree.Element("EnumerationResults", ContainerName=container)
    ElementTree.SubElement(root, "Prefix").text = prefix
    entries = ElementTree.SubElement(root, "Blobs")
    folders = set()
    for name, file in blobs.find(container, prefix):
        if not _can_be_sent(name):
            continue
        rest = name[len(prefix) :]
        if delimiter and delimiter in rest:
            folders.add(prefix + rest.split(delimiter)[0] + delimiter)
        else:
            with suppress(FileNotFoundError):  # a job has removed it meanwhile
                _add_entry(entries, name, file.stat(), blobs.metadata(container, name))
    for folder in sorted(folders):
        ElementTree.SubElement(ElementTree.SubElement(entries, "BlobPrefix"), "Name").text = folder
    ElementTree.SubElement(root, "NextMarker")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _can_be_sent(name: str) -> bool:
    """Whether an address can lead to a name, which is UTF-8 without backslashes, and XML can hold it."""
    is_address = os.fsencode(name).decode(errors="ignore") == name and "\\" not in name
    return is_address and not NOT_IN_XML.search(name)


def _add_entry(entries: ElementTree.Element, name: str, status: os.stat_result, metadata: dict[str, str]) -> None:
    blob = ElementTree.SubElement(entries, "Blob")
    ElementTree.SubElement(blob, "Name").text = name
    properties = {
        "Last-Modified": formatdate(status.st_mtime, usegmt=True),
        "Etag": f"{status.st_mtime_ns:x}",
        "Content-Length": str(status.st_size),
        "Content-Type": "application/octet-stream",
        "BlobType": "BlockBlob",
    }
    for tag, values in (("Properties", properties), ("Metadata", metadata)):
        element = ElementTree.SubElement(blob, tag)
        for key, value in values.items():
            ElementTree.SubElement(element, key).text = value
