"""The JSON of a request, read so that nothing behind the routes meets what it was not made for."""

import json
import math
from typing import Annotated, Any

from fastapi import Depends, Request

from azureml_local.rest.errors import RestError, bad_request

Json = dict[str, Any]

LARGEST = 16 << 20  # bytes of a document; a job's body has some thousands
DEEPEST = 64  # levels of objects and lists in one another; a job's body has about ten


async def read_within(request: Request, largest: int = LARGEST) -> bytes:
    """The body of a request. Raises RestError for one of more than `largest` bytes, and reads no more than that."""
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > largest:
            raise RestError(413, "RequestTooLarge", f"The body of this request may have {largest} bytes, and has more.")
    return bytes(read)


async def read_object(request: Request) -> Json:
    """The JSON object in the body of a request; an empty one where there is no body.

    Raises RestError for what is not JSON, for any other value, and for values that cannot be kept or sent again.
    """
    text = await read_within(request)
    try:
        document = json.loads(text or b"{}", parse_constant=_refuse_number)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise bad_request(f"The body is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise bad_request(f"The body must be a JSON object, and is {shown(document)}.")
    _check(document)
    return document


Body = Annotated[Json, Depends(read_object)]


def shown(value: object) -> str:
    """A value as an error sentence shows it: as JSON, and only the beginning of a long one."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _check(document: Json) -> None:
    """Raise RestError for nesting, numbers and texts that Python reads and can then not write."""
    waiting: list[tuple[object, int]] = [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEEPEST:
            raise _too_deep()
        match value:
            case dict():
                waiting += [(item, depth + 1) for pair in value.items() for item in pair]
            case list():
                waiting += [(item, depth + 1) for item in value]
            case str():
                _check_text(value)
            case float() if not math.isfinite(value):
                raise bad_request("The body has a number that is too large.")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise bad_request(f"The body has a text with the character 0 in it: {shown(text)}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise bad_request(f"The body has a text that is not Unicode: {shown(text)}.") from None


def _too_deep() -> RestError:
    return bad_request(f"The body nests more than {DEEPEST} objects and lists in one another.")


def _refuse_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
