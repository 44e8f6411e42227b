"""`azureml-local invoke`: a request to an online endpoint, sent as any client sends it."""

import argparse
import json
import ssl
import sys

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from azureml_local import launcher
from azureml_local.client import connect, sdk_call
from azureml_local.connection import Addresses
from azureml_local.errors import InputError
from azureml_local.home import Home

LARGEST = 100_000_000  # bytes of a request file
TIMEOUT = 200.0  # seconds; longer than the workspace itself waits
MODEL_STATUS = "ms-azureml-model-error-statuscode"


def invoke(options: argparse.Namespace) -> int:
    """Send a request to an endpoint and print its answer: as it came, or for a person each text beside its own."""
    request = _request(options)
    home = Home.choose(options.home)
    with launcher.in_running(home) as addresses:
        reply = _ask(options, request, home, addresses)
    if not reply.is_success:
        raise InputError(refusal(options.endpoint, reply, home))
    table = None if options.json or not sys.stdout.isatty() else listing(request, reply.text)
    if table:
        Console().print(table)
    else:
        print(reply.text)
    return 0


def _ask(options: argparse.Namespace, request: str, home: Home, addresses: Addresses) -> httpx.Response:
    client = connect(home, addresses)
    from azure.core.exceptions import ResourceNotFoundError

    with sdk_call(f'invoke "{options.endpoint}"'):
        try:
            address = str(client.online_endpoints.get(options.endpoint).scoring_uri)
        except ResourceNotFoundError:
            there = ", ".join(str(endpoint.name) for endpoint in client.online_endpoints.list())
            raise InputError(
                f'The workspace has no endpoint "{options.endpoint}"; it has {there or "none"}. '
                "`azureml-local deploy DIR` creates one."
            ) from None
        key = client.online_endpoints.get_keys(options.endpoint).primary_key
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    if options.deployment:
        headers["azureml-model-deployment"] = options.deployment
    # The SDK's own `invoke` hides what the scoring script says when it refuses a request.
    trust = ssl.create_default_context(cafile=str(home.bundle))
    try:
        return httpx.post(address, content=request, headers=headers, verify=trust, trust_env=False, timeout=TIMEOUT)
    except httpx.HTTPError as error:
        raise InputError(f'Could not invoke "{options.endpoint}": {error!r}.') from error


def _request(options: argparse.Namespace) -> str:
    if options.text:
        return json.dumps({"input_data": options.text})
    try:
        with options.request_file.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise InputError(
                f"{options.request_file} has more than {LARGEST:,} bytes; send the texts in several requests."
            )
        text = content.decode()
        json.loads(text)
    except OSError as error:
        raise InputError(f"Cannot read {options.request_file}: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{options.request_file} is not JSON: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{options.request_file} is nested too deeply.") from error
    return str(text)


def refusal(endpoint: str, reply: httpx.Response, home: Home) -> str:
    """What went wrong, in the words of who refused the request."""
    status = int(reply.headers.get(MODEL_STATUS, reply.status_code))
    try:
        body = reply.json()
        error = body.get("error", body)
        words = error["message"] if isinstance(error, dict) else error
    except (ValueError, AttributeError, KeyError):
        words = reply.text
    log = f"\nIts log is in {home.path / 'deployments' / endpoint}." if status >= 500 else ""
    return f'"{endpoint}" answered with status {status}: {words}{log}'


def listing(request: str, answer: str) -> Table | None:
    """Texts and answers in two columns, if the request is a list of texts and there is one answer for each."""
    try:
        asked, answers = json.loads(request), json.loads(answer)
    except ValueError:
        return None
    texts = asked.get("input_data") if isinstance(asked, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return None
    if not isinstance(answers, list) or len(answers) != len(texts):
        return None
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", style="bold")
    for text, one in zip(texts, answers, strict=True):
        table.add_row(Text(text), Text(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)))
    return table
