"""Versioned assets in the store: codes, environments, components, data and models, and where their files lie."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from azureml_local.arm_ids import parse_versioned
from azureml_local.blobs import DATASTORES, BlobPathError, Blobs
from azureml_local.expressions import substitute
from azureml_local.spec import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, SpecError
from azureml_local.store import Resource, Store

Json = dict[str, Any]

MODEL_TYPES = frozenset({"mlflow_model", "custom_model", "triton_model"})
REMOTE = frozenset({"http", "https", "wasb", "wasbs", "abfs", "abfss", "adl"})
RUNS = "runs"  # the kind of what has become of each job, nodes included
MOST_NAMES = 5  # in a sentence
SINGULAR = {"models": "model", "codes": "code"}
KINDS = ("codes", "environments", "components", "data", "models")
# Azure's default place for an output in the datastore workspaceblobstore.
OUTPUT_PATH = "azureml/{job}/{output}"
# What every job leaves in `outputs/` and `logs/`, with its log, as an output; in the datastore workspaceartifactstore.
DEFAULT_OUTPUT = "artifacts"
DEFAULT_OUTPUT_PATH = "ExperimentRun/dcid.{job}"

_DATASTORE_URI = re.compile(r"azureml://(?:subscriptions/.*/)?datastores/(?P<datastore>[^/]+)/paths/(?P<path>.*)")
_OUTPUT_URI = re.compile(r"azureml://(?:subscriptions/.*/)?jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)/?(?P<path>.*)")
_RUN_URI = re.compile(r"runs:/+(?P<job>[^/]+)/?(?P<path>.*)")  # MLflow's


class Assets:
    """Finds assets and the files behind their addresses."""

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs

    def find(self, kind: str, reference: str) -> Resource | None:
        """The asset that an ARM id, `azureml:name:version` or `azureml:name@latest` means, or None."""
        parsed = parse_versioned(reference)
        if not parsed:
            return None
        _, name, version = parsed
        if version in ("@latest", "@default"):
            return self.latest(kind, name)
        return self._store.get(kind, name, version)

    def latest(self, kind: str, name: str) -> Resource | None:
        """The version that was created last and is not archived, or None."""
        active = [found for found in self._store.all(kind, name) if not is_archived(found)]
        return active[-1] if active else None

    def next_version(self, kind: str, name: str) -> str:
        """One more than the highest whole number among the versions."""
        numbers = [int(found.version) for found in self._store.all(kind, name) if found.version.isdigit()]
        return str(max(numbers, default=0) + 1)

    def locate(self, uri: str) -> Path:
        """The file or folder on this machine that an address means.

        Raises SpecError, as `path_of` does, and when nothing is there.
        """
        path = self.path_of(uri)
        if not path.exists():
            raise SpecError(f"There is nothing at {uri}.")
        return path

    def path_of(self, uri: str) -> Path:
        """Where an address leads to on this machine; something may be there later.

        Takes datastore and job output addresses, MLflow's of a job's run, addresses of our own blobs, and data and
        model assets. Raises SpecError for an address that means nothing here.
        """
        try:
            path = self._locate(self._of_run(uri))
        except BlobPathError as error:
            raise SpecError(str(error)) from error
        if path is None:
            where = "on the internet" if urlsplit(uri).scheme in REMOTE else "not on this machine"
            raise SpecError(
                f"{uri} is {where}, and the local workspace loads nothing from there. Give a local path, or an address "
                "of a datastore, an asset or a job's output of the local workspace."
            )
        return path.resolve()

    def place(self, uri: str, names: Mapping[str, str]) -> Path:
        """Where an output goes that shall lie at a datastore's address; it need not be there yet.

        names: what `${{name}}` and `${{output_name}}` stand for. Raises SpecError for any other kind of address.
        """
        known = {"default_datastore": next(iter(DATASTORES)), **names}
        address = substitute(uri, lambda name: known.get(name, "${{" + name + "}}"))
        match = _DATASTORE_URI.fullmatch(address)
        if not match or "${{" in address:
            raise SpecError(
                f"{uri} is not a place in a datastore; expected azureml://datastores/workspaceblobstore/paths/<path>, "
                "in which ${{name}} is the job's name"
            )
        try:
            return self._blobs.path(DATASTORES.get(match["datastore"], match["datastore"]), match["path"].strip("/"))
        except BlobPathError as error:
            raise SpecError(str(error)) from error

    def is_of_other_job(self, uri: str, job: str) -> bool:
        """Whether an address is the default place of another job's output, as that job says where it lies."""
        match = _DATASTORE_URI.fullmatch(uri)
        parts = match["path"].strip("/").split("/") if match else []
        is_default = len(parts) == OUTPUT_PATH.count("/") + 1 and parts[0] == OUTPUT_PATH.split("/")[0]
        return is_default and parts[1] != job and self._store.get(RUNS, parts[1]) is not None

    def output_address(self, job: str, output: str, path: Path, below: str = "") -> str:
        """A job's output, or what is `below` it, as a datastore path: in the place that the job gave it, or by default.

        path: where it is on this machine.
        """
        real = path.resolve()
        for datastore, container in DATASTORES.items():
            if real.is_relative_to(folder := self._blobs.path(container).resolve()):
                return _address(datastore, real.relative_to(folder).as_posix(), path)
        return _address(*_place(job, output, below), path)

    def check_free(self, data_type: str, name: str, version: str) -> None:
        """Raise SpecError where an output cannot become this version, for it is there already."""
        kind = kind_of(data_type)
        if self._store.get(kind, name, version):
            raise SpecError(
                f"the {kind.removesuffix('s')} asset {name}:{version} is there already: give another version, or none "
                "for the next one"
            )

    def register(self, data_type: str, name: str, version: str, uri: str) -> bool:
        """Make an output a data or a model asset; version: empty for the next one. Tells whether it was free."""
        kind = kind_of(data_type)
        said: dict[str, object] = {"tags": {}, "properties": {}, "isArchived": False, "isAnonymous": False}
        if kind == "models":
            said |= {"modelUri": uri, "modelType": data_type, "flavors": self.flavors(uri)}
        else:
            said |= {"dataUri": uri, "dataType": data_type or "uri_folder"}
        body = {"properties": {**said, "provisioningState": "Succeeded"}}
        if version:
            return self._store.add(kind, name, version, body)
        while not self._store.add(kind, name, self.next_version(kind, name), body):
            pass  # another job has just taken that one
        return True

    def settle(self, uri: str) -> str:
        """The address of a model as Azure keeps it: an output of a job becomes its path in the datastore.

        Raises SpecError, as `locate` does, when nothing is there.
        """
        path = self.locate(uri)
        match = _OUTPUT_URI.fullmatch(self._of_run(uri))
        return self.output_address(match["job"], match["output"], path, _below(match)) if match else uri

    def flavors(self, uri: str) -> Json:
        """What a model's MLmodel says of each of its flavors, as texts; nothing where there is none to be read."""
        try:
            said = yaml.safe_load((self.locate(uri) / "MLmodel").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError, yaml.YAMLError):  # a SpecError is a ValueError
            return {}
        flavors = said.get("flavors") if isinstance(said, dict) else None
        found = {str(name): data for name, data in flavors.items()} if isinstance(flavors, dict) else {}
        return {
            name: {"data": {str(field): str(value) for field, value in data.items()}}
            for name, data in found.items()
            if isinstance(data, dict)
        }

    def _of_run(self, uri: str) -> str:
        """The address of what MLflow calls `runs:/JOB/PATH` as one of the job's output; any other as it is."""
        match = _RUN_URI.fullmatch(uri)
        if not match:
            return uri
        if not self._store.get(RUNS, match["job"]):
            raise SpecError(
                f'{uri}: the run "{match["job"]}" is no job of the local workspace, which has the files of its jobs '
                "alone; correct the name, or download what the run has logged and give the local path"
            )
        return f"azureml://jobs/{match['job']}/outputs/{DEFAULT_OUTPUT}/paths/{match['path']}"

    def _locate(self, uri: str) -> Path | None:
        if match := _DATASTORE_URI.fullmatch(uri):
            return self._blobs.path(DATASTORES.get(match["datastore"], match["datastore"]), match["path"].strip("/"))
        if match := _OUTPUT_URI.fullmatch(uri):
            datastore, place = _place(match["job"], match["output"], _below(match))
            return self._blobs.path(DATASTORES[datastore], place)
        address = urlsplit(uri)
        if address.hostname in ("127.0.0.1", "localhost"):
            # The SDK drops `/blob` where it puts the address of a build context together.
            container, _, name = unquote(address.path).removeprefix("/blob").lstrip("/").partition("/")
            return self._blobs.path(container, name)
        return self._locate_asset(uri)

    def _locate_asset(self, uri: str) -> Path | None:
        parsed = parse_versioned(uri)
        for kind, field in (("data", "dataUri"), ("models", "modelUri"), ("codes", "codeUri")):
            if parsed and parsed[0] in ("", kind) and (found := self.find(kind, uri)):
                return self.locate(found.body["properties"][field])
        if parsed:
            raise SpecError(self._missing(*parsed))
        return None

    def _missing(self, kind: str, name: str, version: str) -> str:
        """Says that there is no such asset, and what there is."""
        kinds = [kind] if kind else ["data", "models"]
        versions = [one.version for each in kinds for one in self._store.all(each, name)]
        names = sorted({one.name for each in kinds for one in self._store.all(each)})
        there = f"of {name} it has {_some(versions)}" if versions else f"it has {_some(names)}"
        said = " or ".join(SINGULAR.get(each, each) for each in kinds)
        wanted = name + (version if version.startswith("@") else f":{version}")
        return f"The local workspace has no {said} {wanted}; {there}. Correct the name, or register it first."


def _some(names: list[str]) -> str:
    """The last few names of a list, which may be long."""
    return ", ".join(names[-MOST_NAMES:]) or "none"


def kind_of(data_type: str) -> str:
    """The kind of the asset that data of a type become."""
    return "models" if data_type in MODEL_TYPES else "data"


def _address(datastore: str, place: str, path: Path) -> str:
    """The long form; a folder's address ends with a slash, so that no other begins with it."""
    workspace = f"subscriptions/{SUBSCRIPTION}/resourcegroups/{RESOURCE_GROUP}/workspaces/{WORKSPACE}"
    return f"azureml://{workspace}/datastores/{datastore}/paths/{place}{'/' if path.is_dir() else ''}"


def _place(job: str, output: str, below: str) -> tuple[str, str]:
    """The datastore of a job's output, and the path in it."""
    default = output == DEFAULT_OUTPUT
    path = DEFAULT_OUTPUT_PATH if default else OUTPUT_PATH
    place = "/".join(filter(None, (path.format(job=job, output=output), below)))
    return "workspaceartifactstore" if default else "workspaceblobstore", place


def _below(match: re.Match[str]) -> str:
    """What of a job output's address follows the output's name."""
    return match["path"].removeprefix("paths/").strip("/")


def is_archived(resource: Resource) -> bool:
    """Whether the resource is kept out of lists."""
    return bool(resource.body.get("properties", {}).get("isArchived"))
