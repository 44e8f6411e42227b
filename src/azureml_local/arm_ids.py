"""The names of things: ARM ids of this workspace, and the `azureml:` short forms of them."""

import re

from azureml_local.spec import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE

CLOUD = "AzureLocal"
LOCATION = "local"
PROVIDER = "Microsoft.MachineLearningServices"
WORKSPACE_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}/providers/{PROVIDER}/workspaces/{WORKSPACE}"
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")  # of an asset, and its version: a part of an address
NAME_RULE = 'it takes up to 255 letters, digits, "-", "_" and ".", and begins with a letter or digit'

_VERSIONED = re.compile(r".*/(?P<kind>\w+)/(?P<name>[^/]+)/(?P<by>versions|labels)/(?P<version>[^/]+)/?")
_SHORT = re.compile(r"azureml:(?P<name>[^:/@]+)(?P<by>[:@])(?P<version>[^:/@]+)")


def resource_id(kind: str, name: str, version: str = "") -> str:
    """The ARM id of a resource in this workspace."""
    return f"{WORKSPACE_ID}/{kind}/{name}" + (f"/versions/{version}" if version else "")


def parse_versioned(reference: str) -> tuple[str, str, str] | None:
    """(kind, name, version) of an ARM id or of `azureml:name:version`; None for anything else.

    The kind is "" in the short form; a label comes back with its @, as "@latest".
    """
    reference = reference.removeprefix("azureml:/") if reference.startswith("azureml://") else reference
    if match := _SHORT.fullmatch(reference):
        label = "@" if match["by"] == "@" else ""
        return "", match["name"], label + match["version"]
    if match := _VERSIONED.fullmatch(reference.removeprefix("azureml:")):
        label = "@" if match["by"] == "labels" else ""
        return match["kind"], match["name"], label + match["version"]
    return None


def short_name(reference: str) -> str:
    """What a person calls the resource: `name:version` of an ARM id with a version, else its last part."""
    if parsed := parse_versioned(reference):
        return f"{parsed[1]}:{parsed[2]}"
    return reference.removeprefix("azureml:").rsplit("/", 1)[-1]
