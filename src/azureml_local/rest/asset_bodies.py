"""The bodies of versioned assets: checked, completed as the service would, and never changed in what they stand for."""

from azureml_local.rest.bodies import Json
from azureml_local.rest.errors import RestError, bad_request, not_spoken
from azureml_local.rest.requests import shown
from azureml_local.store import Resource
from azureml_local.workspace import Workspace

SPOKEN_COMPONENTS = ("command", "pipeline")

# What a version stands for, by kind; all else may be said anew at any time.
MEANING: dict[str, tuple[str, ...]] = {
    "environments": ("image", "condaFile", "build"),
    "data": ("dataUri", "dataType"),
    "models": ("modelUri", "modelType"),
    "components": ("command", "code", "environment", "is_deterministic", "distribution", "inputs", "outputs", "jobs"),
}
PORT_FIELDS = ("type", "default", "optional", "min", "max", "enum")
FLAGS = {"True": "true", "False": "false"}
NOT_OPTIONAL = {("optional", "False"), ("optional", "false")}


def completed(kind: str, name: str, version: str, sent: Json, here: Workspace) -> Json:
    """The properties of a version with what the service would add to them.

    Raises RestError, naming the field, where one must be given and is not, and SpecError for a model that is not there.
    """
    given = {key: value for key, value in sent.items() if value is not None}
    properties: Json = {"tags": {}, "properties": {}, "isArchived": False, "isAnonymous": False, **given}
    properties["provisioningState"] = "Succeeded"
    match kind:
        case "models":
            properties["modelUri"] = here.assets.settle(_needed(properties, "modelUri"))
            said = {"flavors": here.assets.flavors(properties["modelUri"]), "modelType": "custom_model"}
            return {**said, **properties}
        case "data":
            _needed(properties, "dataUri")
            return {"dataType": "uri_folder", **properties}
        case "codes":
            _needed(properties, "codeUri")
        case "environments":
            return {"environmentType": "UserCreated", "osType": "Linux", **properties}
        case "components":
            properties["componentSpec"] = _component(name, version, properties.get("componentSpec") or {})
    return properties


def refuse_change(known: Resource, properties: Json) -> None:
    """Raise RestError for a version that would stand for something else from now on."""
    before, now = (_meaning(known.kind, found) for found in (known.body["properties"], properties))
    if before["isAnonymous"] or before == now:
        return
    changed = next(field for field in now if before[field] != now[field])
    raise RestError(
        409,
        "UserError",
        f"{known.kind} {known.name}:{known.version}: {changed} is not the one that it was made with, and a version "
        "is never changed: make another version.",
    )


def _meaning(kind: str, properties: Json) -> Json:
    body = properties.get("componentSpec", {}) if kind == "components" else properties
    meaning = {field: body.get(field) for field in MEANING.get(kind, ())}
    if kind == "components":
        meaning |= {section: _ports(body.get(section) or {}) for section in ("inputs", "outputs")}
        meaning["is_deterministic"] = body.get("is_deterministic") is not False
        if body.get("type") == "pipeline":
            meaning["jobs"] = sorted(body.get("jobs") or {})  # a node comes back written in another way
    return {**meaning, "isAnonymous": properties["isAnonymous"]}


def _ports(ports: Json) -> Json:
    """What inputs or outputs stand for, however a number or a flag is written."""
    said: Json = {}
    for name, port in ports.items():
        given = port if isinstance(port, dict) else {"type": port}
        texts = {field: str(given[field]) for field in PORT_FIELDS if given.get(field) is not None}
        said[name] = {
            field: FLAGS.get(text, text) for field, text in texts.items() if (field, text) not in NOT_OPTIONAL
        }
    return said


def _component(name: str, version: str, spec: Json) -> Json:
    if (kind := spec.get("type")) not in SPOKEN_COMPONENTS:
        raise not_spoken(f"components of type {shown(kind)}")
    if kind == "command":
        _needed(spec, "command", "properties.componentSpec")
    return {**spec, "name": spec.get("name") or name, "version": version}


def _needed(properties: Json, field: str, where: str = "properties") -> str:
    value: str = properties.get(field) or ""
    if not value:
        raise bad_request(f"{where}.{field} must be given.")
    return value
