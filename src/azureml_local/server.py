"""The workspace's process: `python -m azureml_local.server HOME [SETTINGS]` serves until it is told to end."""

import argparse
import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from azureml_local.certificates import server_certificate
from azureml_local.connection import Addresses, held
from azureml_local.home import Home
from azureml_local.rest.app import create_app
from azureml_local.rest.plain_app import create_plain_app
from azureml_local.settings import Settings, add_settings
from azureml_local.workspace import Workspace

LOOPBACK = "127.0.0.1"


def serve(home: Home, settings: Settings, lock: int | None = None) -> None:
    """Run the workspace in this process until SIGTERM or SIGINT; does nothing where it runs already.

    lock: the descriptor of the workspace's lock, where who started this process holds it already.
    """
    os.umask(0o077)
    home.create()
    if lock is not None:
        os.set_inheritable(lock, False)  # what a job leaves behind must not hold the workspace
    with held(home, lock) as first:
        if first is not None:
            home.lock.write_text(str(os.getpid()))
            _serve_alone(home, settings)


def _serve_alone(home: Home, settings: Settings) -> None:
    workspace = Workspace(home, settings)
    try:
        asyncio.run(_serve(workspace))
    finally:
        home.state.unlink(missing_ok=True)
        workspace.close()


async def _serve(workspace: Workspace) -> None:
    home = workspace.home
    sockets = [_listen(port) for port in _last_ports(home)]
    ports = [listening.getsockname()[1] for listening in sockets]
    certificate = str(server_certificate(home))
    servers = [
        _server(create_app(workspace), certificate),
        _server(create_plain_app(workspace, f"http://{LOOPBACK}:{ports[1]}"), None),
    ]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, home, servers)
    tasks = [loop.create_task(server.serve([one])) for server, one in zip(servers, sockets, strict=True)]
    while not all(server.started for server in servers):
        if ended := [task for task in tasks if task.done()]:
            ended[0].result()  # raises what kept it from starting
            return
        await asyncio.sleep(0.01)
    home.ports.write_text(json.dumps(ports))
    Addresses(ports[0], ports[1], os.getpid(), workspace.settings).write(home)
    await asyncio.gather(*tasks)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process: it has two servers, and one must not take them from the other."""
        yield


def _stop(home: Home, servers: list[_Server]) -> None:
    home.state.unlink(missing_ok=True)  # nobody is to find it up who comes while it ends what it runs
    for server in servers:
        server.should_exit = True


def _server(app: FastAPI, certificate: str | None) -> _Server:
    config = uvicorn.Config(
        app,
        ssl_certfile=certificate,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    return _Server(config)


def _last_ports(home: Home) -> tuple[int, int]:
    try:
        port, identity_port = map(int, json.loads(home.ports.read_text()))
    except (OSError, ValueError, TypeError):
        return 0, 0
    return port, identity_port


def _listen(port: int) -> socket.socket:
    """Listen on the port if it is free, else on any."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
    except OSError:
        listening.bind((LOOPBACK, 0))
    return listening


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--lock", type=int, metavar="DESCRIPTOR")
    add_settings(parser)
    options = parser.parse_args()
    serve(Home(options.home), Settings.of(options), options.lock)
