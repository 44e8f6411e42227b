"""What the SDK refuses in a file, `check` finds: whole files of each kind, with one field of them spoilt at a time."""

import contextlib
import copy
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.ai import ml

from azureml_local.checks import ERROR, check_file
from azureml_local.checks.field_table import SHAPES
from azureml_local.checks.known_fields import FIELDS
from conftest import ROOT

# A file of each kind with nearly every field that it may have, all of them right.
WHOLE = {path.stem: path.read_text() for path in sorted((ROOT / "tests" / "whole").glob("*.txt"))}
LOADERS = {
    "data": ml.load_data,
    "model": ml.load_model,
    "compute": ml.load_compute,
    "environment": ml.load_environment,
    "endpoint": ml.load_online_endpoint,
    "deployment": ml.load_online_deployment,
    "component": ml.load_component,
    "job": ml.load_job,
}
SPOILT = (None, [], {}, "nonsense", -1, True, 1.5, {"x": 1})
WORD = re.compile(r"[a-z]+(_[a-z]+)*")
GONE = ...  # in place of a field that is taken away
NAMED_BY_HAND = {"data", "model", "endpoint", "deployment", "kubernetes_deployment"}
NAMED_BY_HAND |= {"command_component", "pipeline_component"}
STEP = """
name: step
version: "1"
type: command
command: ls ${{inputs.data}} ${{inputs.n}} ${{outputs.out}}
environment: azureml:env@latest
inputs:
  data: {type: uri_folder}
  n: {type: integer, default: 3}
outputs:
  out: {type: uri_folder}
"""
WRITTEN_BY_AZURE = {
    "$schema",
    "id",
    "creation_context",
    "latest_version",
    "auto_delete_setting",
    "intellectual_property",
}
WRITTEN_BY_AZURE |= {"status", "log_files", "parameters", "provisioning_state", "provisioning_errors", "created_on"}
WRITTEN_BY_AZURE |= {"kind", "openapi_uri", "scoring_uri", "stage", "source", "system_metadata", "utc_time_created"}
WRITTEN_BY_AZURE |= {"allowed_deployment_templates", "default_deployment_template"}
Way = tuple[str | int, ...]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """What the files name."""
    for folder in ("src", "extra", "docker"):
        (tmp_path / folder).mkdir()
    (tmp_path / "src" / "score.py").write_text("print(1)\n")
    (tmp_path / "extra" / "more.py").write_text("more = 1\n")
    (tmp_path / "docker" / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "conda.yml").write_text("dependencies: [python=3.11]\n")
    (tmp_path / "step.yml").write_text(STEP)
    return tmp_path


def refusal(kind: str, file: Path) -> str:
    """What the SDK says of a file that it does not take; "" where it takes it."""
    load = next(LOADERS[word] for word in reversed(kind.split("_")) if word in LOADERS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            entity = load(file)
            if kind == "endpoint":
                entity._to_rest_online_endpoint(location="anywhere")
            elif "deployment" in kind:
                entity._to_rest_object(location="anywhere")
            else:  # a command job is loaded as a node, and made a job again when it is submitted
                (entity._to_job() if hasattr(entity, "_to_job") else entity)._to_rest_object()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def ways(value: Any, way: Way = ()) -> Iterator[tuple[Way, Any]]:
    """Every field, at any depth, with what it holds."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*way, name), inner
        yield from ways(inner, (*way, name))


def changed(document: dict[str, Any], way: Way, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(document)
    holder = document
    for name in way[:-1]:
        holder = holder[name]
    if value is GONE:
        del holder[way[-1]]
    else:
        holder[way[-1]] = value
    return document


def cases(value: Any) -> Iterator[str]:
    """A word in other cases, as people write it."""
    if isinstance(value, str) and WORD.fullmatch(value):
        yield value.upper()
        yield "".join(part.capitalize() for part in value.split("_"))


def spoilt(document: dict[str, Any]) -> Iterator[tuple[Way, Any, dict[str, Any]]]:
    """The document with one field of another value, without it, or with one that nobody knows."""
    for way, inner in ways(document):
        if way != ("$schema",):
            values = (*SPOILT, *cases(inner), GONE)
            yield from ((way, value, changed(document, way, value)) for value in values if value != inner)
        if isinstance(inner, dict):
            yield (*way, "unheard"), "of", changed(document, (*way, "unheard"), "of")
    yield ("unheard",), "of", {**document, "unheard": "of"}


def is_looser(kind: str, way: Way, value: Any) -> bool:
    """What `check` leaves to others: what the command line may say, types without rules, models that are inline."""
    if value is GONE:
        return kind in NAMED_BY_HAND and way in (("name",), ("endpoint_name",))
    if kind in ("command_component", "pipeline_component") and way == ("name",) and isinstance(value, str):
        return True  # a warning, for a pipeline takes such a file
    is_inline_model = "deployment" in kind and (way, value) == (("model",), {"x": 1})
    return is_inline_model or (kind, way) == ("compute", ("type",))


def test_every_field_that_is_known_has_a_shape_but_for_those_that_azure_writes():
    for kind, fields in FIELDS.items():
        assert fields - SHAPES[kind].keys() <= WRITTEN_BY_AZURE, kind
        assert SHAPES[kind].keys() <= fields, kind


@pytest.mark.parametrize("kind", WHOLE)
def test_what_the_sdk_refuses_is_found_and_a_whole_file_is_fine(kind: str, world: Path):
    document = yaml.safe_load(WHOLE[kind])
    file = world / "file.yml"
    file.write_text(WHOLE[kind])
    assert refusal(kind, file) == ""
    assert [one for one in check_file(file) or [] if one.severity == ERROR] == []
    missed, found = [], 0
    for way, value, body in spoilt(document):
        file.write_text(yaml.safe_dump(body, sort_keys=False))
        if any(one.severity == ERROR for one in check_file(file) or []):
            found += 1
        elif (said := refusal(kind, file)) and not is_looser(kind, way, value):
            missed.append(f"{'.'.join(map(str, way))} = {value!r}: {said[:200]}")
    assert missed == []
    assert found > 30
