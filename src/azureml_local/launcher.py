"""Starts the workspace's process in the background, finds it again, and ends it."""

import os
import signal
import ssl
import subprocess
import sys
import time

import httpx

from azureml_local.connection import CLIENT_VARIABLES, Addresses, is_held, metadata_url
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.settings import DEFAULTS, Settings

START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 30.0


def start(home: Home, settings: Settings = DEFAULTS) -> tuple[Addresses, bool]:
    """Make sure that the workspace is up; returns when it answers. The flag tells whether it was started now.

    Raises InputError where it does not start, and where it is up with other settings than those that are asked for.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while is_held(home) and time.monotonic() < deadline:
        if running := Addresses.read(home):
            return _suited(running, settings), False
        time.sleep(0.05)  # it is starting, or ending
    try:
        home.create()
    except OSError as error:
        raise InputError(f"Cannot keep a workspace at {home.path}: {error.strerror}.") from error
    with home.log.open("ab") as log:
        # The workspace must not think of itself as its own client.
        variables = {name: value for name, value in os.environ.items() if name not in CLIENT_VARIABLES}
        process = subprocess.Popen(
            [sys.executable, "-m", "azureml_local.server", str(home.path), *settings.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.path,
            env=variables,
            start_new_session=True,
        )
    try:
        while time.monotonic() < deadline:
            addresses = Addresses.read(home)
            if addresses and _answers(home, addresses):
                return addresses, addresses.pid == process.pid
            if process.poll() is not None and not is_held(home):
                break
            time.sleep(0.05)
    except KeyboardInterrupt:
        process.terminate()
        raise
    raise InputError(f"The workspace at {home.path} did not start; its log, {home.log}, ends with:\n{_tail(home)}")


def stop(home: Home) -> bool:
    """End the workspace with all that it runs; tells whether there was one. Returns when it has ended."""
    running = Addresses.read(home)
    if not running:
        return False
    os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    while is_held(home):
        if time.monotonic() > deadline:
            os.kill(running.pid, signal.SIGKILL)
            break
        time.sleep(0.05)
    return True


def find(home: Home) -> Addresses:
    """The running workspace. Raises InputError when it is not up."""
    running = Addresses.read(home)
    if not running:
        raise InputError(f"No workspace is up at {home.path}; start it with `azureml-local up`.")
    return running


def _suited(running: Addresses, settings: Settings) -> Addresses:
    """The running workspace, unless other settings than its own are asked for; the defaults ask for nothing."""
    if settings not in (DEFAULTS, running.settings):
        has, asked = (" ".join(one.arguments()) or "the defaults" for one in (running.settings, settings))
        raise InputError(
            f"The workspace is up already with {has}, and {asked} is asked for: end it with `azureml-local down` first."
        )
    return running


def _answers(home: Home, addresses: Addresses) -> bool:
    try:
        context = ssl.create_default_context(cafile=str(home.bundle))
        reply = httpx.get(metadata_url(home, addresses), verify=context, trust_env=False, timeout=5)
    except (httpx.HTTPError, OSError):
        return False
    return reply.status_code == 200


def _tail(home: Home, lines: int = 10) -> str:
    return "\n".join(home.log.read_text(errors="replace").splitlines()[-lines:])
