"""Online endpoints of a workspace: their deployments, their keys, and who answers a request."""

import errno
import hmac
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from azureml_local.assets import Assets
from azureml_local.serving import Deployments, DeploymentSpec, ServingError
from azureml_local.spec import SpecError
from azureml_local.store import Resource, Store
from azureml_local.traffic import check_traffic, draw, draw_copy, without

ENDPOINTS = "onlineEndpoints"
DEPLOYMENTS = "deployments"  # the name is the endpoint's, the version the deployment's
KEYS = "endpoint-keys"
SCORING_PATH = "/score/{endpoint}"
OPERATIONS = "operations"  # what takes its time, as Azure-AsyncOperation shows it
SERVED = "served-deployments"  # the body of each deployment that was served last: not that of a failed update

Json = dict[str, Any]


class BusyError(RuntimeError):
    """Something else is being done to an endpoint or a deployment; the text says what, and what to do."""


class Endpoints:
    """Creates, serves and removes deployments; long work is done in the background, as an operation."""

    def __init__(self, store: Store, assets: Assets, deployments: Deployments) -> None:
        self._store = store
        self._assets = assets
        self._deployments = deployments
        self._lock = threading.Lock()
        self._starting: set[tuple[str, str]] = set()  # endpoint and deployment
        self._removing: set[tuple[str, str]] = set()  # the same; an endpoint itself has no deployment's name
        self._is_ending = False
        self._serve_again()

    def put(self, name: str, body: Json) -> Resource:
        """Create an endpoint, or replace its description and traffic.

        Raises SpecError for shares that cannot be, unless they are there already, and BusyError while it is deleted.
        """
        with self._store.together():  # a deployment that is removed just now takes its share with it
            return self._put(name, body)

    def _put(self, name: str, body: Json) -> Resource:
        self._refuse_removed(name)
        properties = body.get("properties") or {}
        shares = properties.get("traffic") or {}, properties.get("mirrorTraffic") or {}
        if shares != (self._shares(name, "traffic"), self._shares(name, "mirrorTraffic")):
            check_traffic(name, {deployment.version for deployment in self.deployments(name)}, *shares)
        self._store.add(KEYS, name, "", {"primaryKey": _new_key(), "secondaryKey": _new_key()})
        return self._store.put(ENDPOINTS, name, "", {**body, "properties": properties})

    def change(self, name: str, body: Json) -> Resource:
        """Replace some fields of an endpoint, with no other change in between. Raises as `put`, and KeyError."""
        with self._store.together():
            known = self.get(name)
            if known is None:
                raise KeyError(name)
            properties = {**(known.body.get("properties") or {}), **(body.get("properties") or {})}
            changes = {key: body[key] for key in ("tags", "identity") if body.get(key)}
            return self._put(name, {**known.body, **changes, "properties": properties})

    def get(self, name: str) -> Resource | None:
        """The endpoint, or None."""
        return self._store.get(ENDPOINTS, name)

    def all(self) -> list[Resource]:
        """All endpoints."""
        return self._store.all(ENDPOINTS)

    def delete(self, name: str) -> None:
        """Remove an endpoint with its deployments and keys."""
        for deployment in self.deployments(name):
            self.undeploy(name, deployment.version)
        self._store.delete(ENDPOINTS, name)
        self._store.delete(KEYS, name)

    def keys(self, name: str) -> Json:
        """Its two keys. Raises KeyError for an endpoint that is not there."""
        found = self._store.get(KEYS, name)
        if not found:
            raise KeyError(name)
        return found.body

    def renew_key(self, name: str, kind: str) -> None:
        """Draw a new key; kind: Primary or Secondary."""
        self._store.update(KEYS, name, "", lambda keys: {**keys, f"{kind.lower()}Key": _new_key()})

    def opens(self, name: str, key: str) -> bool:
        """Whether the key is one of the endpoint's."""
        found = self._store.get(KEYS, name)
        return found is not None and any(hmac.compare_digest(key.encode(), own.encode()) for own in found.body.values())

    def deployments(self, endpoint: str) -> list[Resource]:
        """The endpoint's deployments."""
        return self._store.all(DEPLOYMENTS, endpoint)

    def deployment(self, endpoint: str, name: str) -> Resource | None:
        """The deployment, or None."""
        return self._store.get(DEPLOYMENTS, endpoint, name)

    def served(self, endpoint: str, name: str) -> Json:
        """The properties of what answers for a deployment: not those of an update that fails, or is being made."""
        found = self._store.get(SERVED, endpoint, name) or self.deployment(endpoint, name)
        return (found and found.body.get("properties")) or {}

    def deploy(self, endpoint: str, name: str, body: Json) -> tuple[Resource, str]:
        """Begin to serve a deployment; returns it and the id of the operation.

        Raises SpecError when its model or code is not there, BusyError while it is started or deleted.
        """
        self._refuse_removed(endpoint, name)
        spec = self._spec(name, body.get("properties") or {})
        with self._lock:
            if (endpoint, name) in self._starting:
                raise BusyError(f'The deployment "{name}" is being created or updated: wait until that has ended.')
            self._starting.add((endpoint, name))
        resource = self._store.put(DEPLOYMENTS, endpoint, name, _in_state(body, "Creating"))
        return resource, self._begin(lambda: self._start(endpoint, spec, body), self._starting, (endpoint, name))

    def undeploy(self, endpoint: str, name: str) -> None:
        """End a deployment and forget it; its share of the traffic goes with it."""
        with self._store.together():  # before it stops: what is just starting looks for it
            self._store.delete(DEPLOYMENTS, endpoint, name)
            self._store.delete(SERVED, endpoint, name)
        self._deployments.forget(endpoint, name)

        def remaining(body: Json) -> Json:
            properties = body.get("properties") or {}
            shares = {key: without(properties.get(key) or {}, name) for key in ("traffic", "mirrorTraffic")}
            return {**body, "properties": {**properties, **shares}}

        with suppress(KeyError):  # the endpoint was deleted meanwhile
            self._store.update(ENDPOINTS, endpoint, "", remaining)

    def remove_later(self, endpoint: str, name: str | None = None) -> str:
        """Begin to remove a deployment, or the endpoint; returns the id of the operation."""
        key = (endpoint, name or "")
        with self._lock:
            self._removing.add(key)
        work = partial(self.undeploy, endpoint, name) if name else partial(self.delete, endpoint)
        return self._begin(work, self._removing, key)

    def operation(self, name: str) -> Json | None:
        """An operation's status as Azure reports it, or None."""
        found = self._store.get(OPERATIONS, name)
        return found.body if found else None

    def log(self, endpoint: str, name: str, lines: int) -> str:
        """The last lines of a deployment's log."""
        return self._deployments.log(endpoint, name, lines)

    def choose_copy(self, endpoint: str) -> str | None:
        """The deployment that gets a copy of a request, or None."""
        return draw_copy(self._shares(endpoint, "mirrorTraffic"))

    @contextmanager
    def server(self, endpoint: str, asked: str = "") -> Iterator[tuple[str, str]]:
        """Name and address of the deployment that answers a request: the one asked for, else one by the shares.

        The server behind it is not ended by us before the caller is done. Raises LookupError, with a sentence, when
        nobody answers.
        """
        name = asked or draw(self._shares(endpoint, "traffic"))
        if name is None:
            raise LookupError(f'No deployment of the endpoint "{endpoint}" has traffic.')
        with ExitStack() as stack:
            try:
                address = stack.enter_context(self._deployments.in_use(endpoint, name))
            except KeyError:
                raise LookupError(f'The endpoint "{endpoint}" has no running deployment "{name}".') from None
            yield name, address

    def close(self) -> None:
        """End every server; what is being served again is so once more when the workspace starts the next time."""
        self._is_ending = True
        self._deployments.close()

    def _shares(self, endpoint: str, field: str) -> dict[str, int]:
        found = self.get(endpoint)
        return ((found.body.get("properties") or {}).get(field) or {}) if found else {}

    def _spec(self, name: str, properties: Json) -> DeploymentSpec:
        model, code = properties.get("model"), properties.get("codeConfiguration") or {}
        script = PurePosixPath(code.get("scoringScript") or "")
        if script.is_absolute() or ".." in script.parts:
            raise SpecError(f'scoringScript: expected a path inside the code, got "{script}"')
        return DeploymentSpec(
            name=name,
            model=self._assets.locate(model) if model else None,
            code=self._assets.locate(code["codeId"]) if code.get("codeId") else None,
            scoring_script=code.get("scoringScript"),
            environment_variables={
                key: str(value) for key, value in (properties.get("environmentVariables") or {}).items()
            },
        )

    def _start(self, endpoint: str, spec: DeploymentSpec, body: Json, then: str = "Succeeded") -> None:
        try:
            self._deployments.start(endpoint, spec)
        except Exception as error:  # a server that is not there must not look as if it were on its way
            then = "Creating" if self._is_ending else "Failed"
            try:
                self._store.update(DEPLOYMENTS, endpoint, spec.name, lambda found: _in_state(found, then))
            except KeyError:
                raise ServingError(_deleted(spec.name)) from error
            raise error if isinstance(error, ServingError) else ServingError(_not_started(spec.name, error)) from error
        try:
            with self._store.together():  # one that is deleted in between must not be served after a restart
                self._store.update(DEPLOYMENTS, endpoint, spec.name, lambda found: _in_state(found, then))
                self._store.put(SERVED, endpoint, spec.name, body)
        except KeyError:
            self._deployments.forget(endpoint, spec.name)
            raise ServingError(_deleted(spec.name)) from None

    def _refuse_removed(self, endpoint: str, name: str = "") -> None:
        """Raise BusyError while the endpoint, or the deployment, is being deleted."""
        with self._lock:
            removed = {(endpoint, ""), (endpoint, name)} & self._removing
        if removed:
            what = f'deployment "{name}"' if name and (endpoint, "") not in removed else f'endpoint "{endpoint}"'
            raise BusyError(f"The {what} is being deleted: wait until that has ended.")

    def _begin(self, work: Callable[[], None], busy: set[tuple[str, str]], key: tuple[str, str]) -> str:
        """Do the work in the background, as an operation; then it is no longer among what is busy."""
        name = secrets.token_hex(16)
        self._store.put(OPERATIONS, name, "", {"name": name, "status": "InProgress"})

        def run() -> None:
            result: Json = {"name": name, "status": "Succeeded"}
            try:
                work()
            except Exception as error:  # whatever it is, who waits for the operation must hear of its end
                problem = {"code": "DeploymentFailed", "message": str(error)}
                result = {"name": name, "status": "Failed", "error": problem}
            with self._lock:
                busy.discard(key)
            self._store.put(OPERATIONS, name, "", result)

        threading.Thread(target=run, name=f"operation {name}", daemon=True).start()
        return name

    def _serve_again(self) -> None:
        """What an earlier process of this workspace served is served again; what it had begun has failed."""
        for operation in self._store.all(OPERATIONS):
            self._store.delete(OPERATIONS, operation.name)
        for deployment in self._store.all(DEPLOYMENTS):
            endpoint, name = deployment.name, deployment.version
            served = self._store.get(SERVED, endpoint, name)
            # Else an update of it has failed, or was not done.
            is_last = served is not None and _in_state(served.body, "") == _in_state(deployment.body, "")
            then = "Succeeded" if is_last else "Failed"
            self._store.put(DEPLOYMENTS, endpoint, name, _in_state(deployment.body, "Creating" if served else "Failed"))
            if served:
                self._serve_one_again(endpoint, name, served.body, then)

    def _serve_one_again(self, endpoint: str, name: str, body: Json, then: str) -> None:
        try:
            spec = self._spec(name, body.get("properties") or {})
        except SpecError:
            self._store.update(DEPLOYMENTS, endpoint, name, lambda found: _in_state(found, "Failed"))
            return
        self._starting.add((endpoint, name))
        self._begin(lambda: self._start(endpoint, spec, body, then), self._starting, (endpoint, name))


def _in_state(body: Json, state: str) -> Json:
    return {**body, "properties": {**(body.get("properties") or {}), "provisioningState": state}}


def _deleted(name: str) -> str:
    return f'deployment "{name}" was deleted while it started'


def _not_started(name: str, error: Exception) -> str:
    """Why the system did not start a server."""
    what = f'deployment "{name}" could not be started'
    if isinstance(error, OSError) and error.errno == errno.E2BIG:
        return f"{what}: its environment_variables are longer than this system passes to a process; shorten them"
    if isinstance(error, shutil.Error):
        return f"{what}: its model or code cannot be copied: {'; '.join(str(reason) for *_, reason in error.args[0])}"
    return f"{what}: {error}"


def _new_key() -> str:
    return secrets.token_urlsafe(32)
