"""The variables that point an unmodified client at the workspace, and the addresses they are made of."""

import fcntl
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from azureml_local.arm_ids import CLOUD
from azureml_local.disk import write_whole
from azureml_local.home import Home
from azureml_local.identity import READ, WRITE, Identity, read_secret
from azureml_local.settings import DEFAULTS, Settings
from azureml_local.spec import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE

METADATA_PATH = "/metadata/endpoints"
PAGES_PATH = "/jobs"
ENDPOINT_PAGE = "/endpoints/{endpoint}"
YEAR = 365 * 24 * 3600  # seconds

BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # variables that name the bundle of a shell
NO_PROXY = ("NO_PROXY", "no_proxy")
CLIENT_VARIABLES = frozenset(
    {
        "AZUREML_CURRENT_CLOUD",
        "ARM_CLOUD_METADATA_URL",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "IDENTITY_ENDPOINT",
        "IDENTITY_HEADER",
        "MLFLOW_TRACKING_URI",
        "AZURE_TOKEN_CREDENTIALS",
    }
)


@dataclass(frozen=True)
class Addresses:
    """A running workspace: the ports of its REST interface and its identity endpoint, its process, its settings."""

    port: int
    identity_port: int
    pid: int
    settings: Settings = DEFAULTS

    @property
    def url(self) -> str:
        """The REST interface."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def page_url(self) -> str:
        """Where a browser looks at jobs: loopback without a certificate that it does not know."""
        return f"http://127.0.0.1:{self.identity_port}"

    def write(self, home: Home) -> None:
        """Say in the workspace's folder that it runs."""
        write_whole(home.state, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, home: Home) -> "Addresses | None":
        """Where the workspace runs, or None; a file that a killed workspace left behind counts as none."""
        try:
            state = json.loads(home.state.read_text())
            settings = Settings(**state.pop("settings"))
            return cls(**state, settings=settings) if is_held(home) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None  # it is starting, or ending


def is_held(home: Home) -> bool:
    """Whether a process of the workspace lives; it may be starting or ending."""
    try:
        with home.lock.open("rb") as lock:
            # A shared lock is refused only while the workspace's process holds its own.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def held(home: Home, inherited: int | None = None) -> Iterator[int | None]:
    """Be the one who holds the workspace; the value is the lock's descriptor, or None where another holds it.

    A process that inherits the descriptor holds the lock as well, until it ends.
    """
    try:
        opened = home.lock.open("ab") if inherited is None else os.fdopen(inherited, "ab")
    except FileNotFoundError:  # the folder is being deleted
        yield None
        return
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        if not is_at(lock, home.lock):
            yield None
            return
        home.state.unlink(missing_ok=True)  # a workspace that was killed left it
        yield lock.fileno()


def is_at(opened: IO[bytes], file: Path) -> bool:
    """Whether a file that was opened is still the one in its place, and not deleted."""
    try:
        return os.fstat(opened.fileno()).st_ino == file.stat().st_ino
    except FileNotFoundError:
        return False


def metadata_url(home: Home, addresses: Addresses) -> str:
    """The address that describes the cloud; signed, as everything else."""
    identity = Identity(read_secret(home.secret))
    return f"{addresses.url}{METADATA_PATH}?{identity.sign(METADATA_PATH, YEAR)}"


def page_url(home: Home, addresses: Addresses, path: str) -> str:
    """The address of a page, /jobs or /jobs/<name>, signed: it opens all of them without a token for a day."""
    return _signed_page(home, addresses, path, PAGES_PATH, READ)


def endpoint_page_url(home: Home, addresses: Addresses, endpoint: str) -> str:
    """The address of the page that asks an endpoint by hand, signed: it opens that alone, for a day."""
    path = ENDPOINT_PAGE.format(endpoint=endpoint)
    return _signed_page(home, addresses, path, path, WRITE)


def _signed_page(home: Home, addresses: Addresses, path: str, scope: str, permissions: str) -> str:
    signature = Identity(read_secret(home.secret)).sign(scope, permissions=permissions)
    return f"{addresses.page_url}{path}?{signature}"


def client_environment(home: Home, addresses: Addresses) -> dict[str, str]:
    """What a client's environment needs, and nothing else.

    The two cloud variables come together: with one of them alone the SDK falls back to the real Azure.
    """
    return {
        "AZUREML_CURRENT_CLOUD": CLOUD,
        "ARM_CLOUD_METADATA_URL": metadata_url(home, addresses),
        "REQUESTS_CA_BUNDLE": str(home.bundle),
        "SSL_CERT_FILE": str(home.bundle),
        "IDENTITY_ENDPOINT": f"http://127.0.0.1:{addresses.identity_port}/msi/token",
        "IDENTITY_HEADER": Identity(read_secret(home.secret)).header,
        # `DefaultAzureCredential` asks us alone, whatever secrets of the real cloud the shell holds.
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        # By both names: some libraries read the one, some the other, and most prefer the lower one where both are set.
        **dict.fromkeys(NO_PROXY, _no_proxy()),
        # Seconds between two looks at a job that is streamed.
        "AZUREML_RUN_POLLING_INTERVAL_MIN": "1",
        "AZUREML_RUN_POLLING_INTERVAL_MAX": "2",
        "MLFLOW_TRACKING_URI": home.tracking_uri,
        # Where to find the workspace, as a script's arguments or defaults.
        "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
        "AZUREML_ARM_SUBSCRIPTION": SUBSCRIPTION,
        "AZUREML_ARM_RESOURCEGROUP": RESOURCE_GROUP,
        "AZUREML_ARM_WORKSPACE_NAME": WORKSPACE,
    }


def shell_exports(environment: dict[str, str]) -> str:
    """Lines for `eval` in a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())


def _no_proxy() -> str:
    given = [os.environ.get(name, "") for name in NO_PROXY]
    kept = [host.strip() for hosts in given for host in hosts.split(",") if host.strip()]
    return ",".join(dict.fromkeys([*kept, "127.0.0.1", "localhost"]))
