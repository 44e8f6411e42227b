"""Rules about what a file names outside itself: are the files there, and is an environment one?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from azureml_local.checks import kinds
from azureml_local.checks.known_fields import FIELDS
from azureml_local.checks.sections import IN_A_DATASTORE, Section, exists, is_absolute, is_file, is_to_be_filled_in
from azureml_local.checks.table import ERROR, WARNING, Finding, Where, rule
from azureml_local.checks.uploads import not_to_be_sent
from azureml_local.checks.yaml_tree import UnreadableError, read
from azureml_local.expressions import shown

RUNS_CODE = frozenset({kinds.COMMAND_COMPONENT, kinds.COMMAND_JOB, kinds.TRIAL, kinds.NODE})
GIVES_DATA = frozenset({kinds.PIPELINE_JOB, kinds.COMMAND_JOB, kinds.SWEEP_JOB, kinds.NODE, kinds.OTHER_NODE})
WITH_ENVIRONMENT = frozenset({kinds.COMMAND_COMPONENT, kinds.COMMAND_JOB, kinds.TRIAL, kinds.NODE, kinds.DEPLOYMENT})
KNOWN = FIELDS[kinds.ENVIRONMENT]  # among others there may be one that was meant to be the image
YAML = frozenset({".yml", ".yaml"})
WITHOUT_VERSION = re.compile(r"azureml:([^:@/${<]+):?")
A_DATASTORE = re.compile(r"azureml://datastores/[^/]+/?")  # as the place that an import goes to
IN_SOME_STORE = re.compile(r"azureml:/*(datastores?|stores?)/")
SCRIPT = re.compile(r"\s*python3?(?:\s+-[uBEsS]+)*\s+([\w./-]+\.py)(?=\s|$)")
MARKS = {"mltable": "MLTable", "mlflow_model": "MLmodel"}  # the file that makes a folder one
FOLDERS = frozenset({"uri_folder", *MARKS})
REGISTERED = re.compile(r"azureml:.+|file:.+|/subscriptions/.+|\$\{\{.+", re.DOTALL)


@rule(Section, "missing-file", ERROR, "Every file and folder that is named is there, and can be read.")
def missing_file(section: Section) -> Iterator[Finding]:
    """Relative to the file that names it, as for the SDK."""
    for where, address, what in _named(section):
        path = section.local(address)
        if path is not None and not exists(path):
            hint = "" if is_absolute(address) else "; the path is relative to this file"
            yield Finding(section.at(*where), f"there is no {what} {path}{hint}")
        elif path is not None and (problem := _not_to_be_sent(section, path)):
            yield Finding(section.at(*where), problem)
    configuration = section.mapping("code_configuration")
    code, script = section.local(configuration.get("code")), configuration.get("scoring_script") or "."
    is_named = section.kind == kinds.DEPLOYMENT and isinstance(script, str)
    if is_named and code and exists(code) and _is_absent(code, script):
        message = f"there is no scoring script {code / script}; it is looked for in the code's folder"
        yield Finding(section.at("code_configuration", "scoring_script"), message)


def _not_to_be_sent(section: Section, path: Path) -> str:
    """`not_to_be_sent`, asked once for all nodes of a file: a folder of code may have many files."""
    known = section.document.unsendable
    if path not in known:
        known[path] = not_to_be_sent(path)
    return known[path]


@rule(Section, "missing-script", WARNING, "The Python file that a command begins with is in the code.")
def missing_script(section: Section) -> Iterator[Finding]:
    """A job starts in the folder of its code, and has nothing else of the files around it."""
    command, code = section.fields.get("command"), section.local(section.fields.get("code"))
    found = SCRIPT.match(command) if isinstance(command, str) and section.kind in RUNS_CODE else None
    has_code = code is not None and exists(code) and code.is_dir() and "additional_includes" not in section.fields
    if found and code and has_code and not exists(code / found[1]):
        message = f"there is no {found[1]} in the code, {code}: a job starts in that folder"
        yield Finding(section.at("command"), message, found[1])


@rule(
    Section,
    "wrong-path-kind",
    ERROR,
    "A uri_file is a file, a uri_folder a folder, an mltable one with an MLTable, an mlflow_model one with an MLmodel.",
)
def wrong_path_kind(section: Section) -> Iterator[Finding]:
    """The SDK uploads either and sends the address of the other, where the job finds nothing."""
    for where, value in _typed_paths(section):
        path, kind = section.local(value.get("path")), str(value.get("type")).lower()
        if path is None or not exists(path):
            continue
        if kind in FOLDERS and path.is_file():
            yield Finding(section.at(*where, "path"), f"{kind} means a folder, and {path} is a file")
        elif kind == "uri_file" and path.is_dir():
            yield Finding(section.at(*where, "path"), f"uri_file means a file, and {path} is a folder")
        elif kind in MARKS and not exists(path / MARKS[kind]):
            yield Finding(section.at(*where, "path"), f"an {kind} has a file {MARKS[kind]}, and {path} has none")


@rule(Section, "bad-input-place", ERROR, "Data of a datastore are named as azureml://datastores/NAME/paths/PATH.")
def bad_input_place(section: Section) -> Iterator[Finding]:
    """The SDK sends any other address, and the service finds nothing there."""
    for where, value in _typed_paths(section):
        place = str(value.get("path"))
        is_place = IN_A_DATASTORE.fullmatch(place) or A_DATASTORE.fullmatch(place) or is_to_be_filled_in(place)
        if IN_SOME_STORE.match(place) and not is_place:
            message = f'"{shown(place)}" is no address: write azureml://datastores/workspaceblobstore/paths/PATH'
            yield Finding(section.at(*where, "path"), message)


@rule(Section, "no-version", ERROR, "What is registered is named with its version, or with a label.")
def no_version(section: Section) -> Iterator[Finding]:
    """The SDK loads it and fails when it is submitted."""
    names = ["environment"] if section.kind in WITH_ENVIRONMENT else []
    names += ["component", "trial"] if section.kind in (kinds.NODE, kinds.PIPELINE_JOB, kinds.SWEEP_JOB) else []
    names += ["model"] if section.kind == kinds.DEPLOYMENT else []
    fields: list[tuple[Where, Any]] = [((name,), section.fields.get(name)) for name in names]
    fields += [((*where, "path"), value.get("path")) for where, value in _typed_paths(section)]
    for where, address in fields:
        found = WITHOUT_VERSION.fullmatch(address) if isinstance(address, str) else None
        if found:
            name = shown(found[1])
            way_out = f"./{name}" if Path(name).suffix in YAML else f"azureml:{name}:1, or azureml:{name}@latest"
            message = f'"{shown(str(address))}" has no version: write {way_out}'
            yield Finding(section.at(*where), message)


@rule(Section, "bad-environment", ERROR, "An environment is a mapping, or one that is registered.")
def bad_environment(section: Section) -> Iterator[Finding]:
    """A path to an environment's file is not followed: it is sent as a name."""
    environment = section.fields.get("environment") if section.kind in WITH_ENVIRONMENT else None
    if isinstance(environment, str) and not REGISTERED.fullmatch(environment) and not is_to_be_filled_in(environment):
        message = f'"{shown(environment)}" is no environment: write its image and conda_file here, or name one that is'
        yield Finding(section.at("environment"), f"{message} registered, as azureml:name:version or azureml:name@label")
    described = section.fields if section.kind == kinds.ENVIRONMENT else environment
    if isinstance(described, Mapping) and not {"image", "build", "id"} & set(described) and set(described) <= KNOWN:
        where = section.at(*(() if described is section.fields else ("environment",)))
        yield Finding(where, "the environment needs an image, to which a conda_file is added, or a build with a path")
    if isinstance(described, Mapping):
        yield from _ill_described(section, described, () if described is section.fields else ("environment",))


def _ill_described(section: Section, described: Mapping[str, Any], prefix: Where) -> Iterator[Finding]:
    """What an environment is made of that does not go together, or is not there."""
    build = described.get("build")
    folder = section.local(build.get("path")) if isinstance(build, Mapping) else None
    if isinstance(build, Mapping) and "image" not in described and folder and exists(folder):
        named = build.get("dockerfile_path") or "Dockerfile"
        if isinstance(named, str) and not is_file(folder / named):
            yield Finding(section.at(*prefix, "build"), f"there is no {folder / named} to build the environment with")
    if {"image", "build"} <= set(described):
        yield Finding(section.at(*prefix, "build"), "the environment has an image and a build: take one of them away")
    conda = section.local(described.get("conda_file"))
    if conda and is_file(conda) and (problem := _no_conda_file(conda)):
        yield Finding(section.at(*prefix, "conda_file"), f"the conda file {conda} {problem}")


def _no_conda_file(path: Path) -> str:
    """Why a file is none that conda reads; "" where it may be one."""
    try:
        return "" if isinstance(read(path).value, Mapping) else "is not a mapping with its dependencies"
    except UnreadableError as error:
        return str(error)


def _is_absent(code: Path, script: str) -> bool:
    return not is_to_be_filled_in(script) and not exists(code / script)


def _typed_paths(section: Section) -> Iterator[tuple[Where, Mapping[str, Any]]]:
    """The mappings in which an address of data stands."""
    if section.kind in GIVES_DATA:
        for name, value in section.mapping("inputs").items():
            if isinstance(value, Mapping):
                yield ("inputs", name), value
    if section.kind == kinds.ASSET:
        yield (), section.fields


def _named(section: Section) -> Iterator[tuple[Where, Any, str]]:
    if section.kind in RUNS_CODE:
        yield ("code",), section.fields.get("code"), "folder of code"
    environment = section.fields if section.kind == kinds.ENVIRONMENT else section.mapping("environment")
    prefix = () if section.kind == kinds.ENVIRONMENT else ("environment",)
    yield from _of_environment(prefix, environment)
    if isinstance(described := section.fields.get("environment"), str) and described.startswith("file:"):
        yield ("environment",), described, "environment's file"
    for index, address in enumerate(_includes(section)):
        yield ("additional_includes", str(index)), address, "file or folder to include"
    for where, value in _typed_paths(section):
        yield (*where, "path"), _not_a_pattern(value.get("path")), "file or folder"
    for name, value in section.mapping("inputs").items():
        takes_data = name in section.taken and section.taken[name].is_data
        if takes_data and isinstance(value, str) and value.startswith(("./", "../", "/")):
            yield ("inputs", name), _not_a_pattern(value), "file or folder"
    if section.kind == kinds.DEPLOYMENT:
        yield ("model",), section.fields.get("model"), "model"
        yield ("model", "path"), section.mapping("model").get("path"), "model"
        yield ("code_configuration", "code"), section.mapping("code_configuration").get("code"), "folder of code"


def _of_environment(prefix: Where, environment: Mapping[str, Any]) -> Iterator[tuple[Where, Any, str]]:
    yield (*prefix, "conda_file"), environment.get("conda_file"), "conda file"
    build = environment.get("build")
    if isinstance(build, Mapping):
        yield (*prefix, "build", "path"), build.get("path"), "folder to build"


def _includes(section: Section) -> list[Any]:
    """What a component takes along; of what is packed on the way, the folder that is packed."""
    includes = section.fields.get("additional_includes")
    named = includes if section.kind in RUNS_CODE and isinstance(includes, list) else []
    return [one.removesuffix(".zip") if isinstance(one, str) else None for one in named]


def _not_a_pattern(address: Any) -> Any:
    return None if isinstance(address, str) and re.search(r"[*?\[]", Path(address).name) else address
