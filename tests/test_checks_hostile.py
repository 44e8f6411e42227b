"""`azureml-local check`: no file makes it hang or crash, and no slip of the pen gets by."""

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from azureml_local.checks import ERROR, check_file
from azureml_local.checks.yaml_tree import read
from conftest import ROOT

LONGEST = 20  # seconds; each takes less than one on an idle machine

HOSTILE = {
    "deep": "[" * 200_000,
    "laughs": "a: &a [x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 8)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "an alias to itself": "type: pipeline\njobs: &a {b: *a}\n",
    "a merge with itself": "type: pipeline\njobs: &a {<<: *a}\n",
    "many nodes": "type: pipeline\njobs:\n" + "".join(f"  n{i}: {{component: c{i}.yml}}\n" for i in range(4000)),
    "many names": "type: pipeline\njobs:\n  a: {command: ls, environment: 'azureml:a:1', inputs: {"
    + ", ".join(f"i{i}: '${{{{parent.inputs.j{i}}}}}'" for i in range(4000))
    + "}}\n",
    "open expressions": "type: command\nenvironment: azureml:a:1\ncommand: '" + "${{ " * 50_000 + "'\n",
    "spaces": "type: command\nenvironment: azureml:a:1\ncommand: 'ls ${{" + " " * 200_000 + "'\n",
    "brackets": "type: command\nenvironment: azureml:a:1\ncommand: '" + "$[[" * 50_000 + "${{inputs.a}}" * 9000 + "'\n",
    "optional parts": "type: command\nenvironment: azureml:a:1\ncommand: 'ls " + "$[[${{inputs.a}}]] " * 20_000 + "'\n",
    "a long line": "type: command\nenvironment: azureml:a:1\ncommand: " + "x" * 900_000 + "\n",
    "large": "type: command\ncommand: ls\n# " + "x" * 2_000_000 + "\n",
    "a number of a million digits": f"type: command\nenvironment: azureml:a:1\ncommand: ls\nversion: {'9' * 900_000}\n",
    "null bytes": "type: command\ncommand: \x00\n",
    "strange types": "type: [pipeline]\njobs: {a: 3, b: [], c: , d: {inputs: [1], outputs: 5, component: [x]}}\n",
    "strange fields": "type: command\ninputs: {a: {type: {b: c}, enum: 3, default: [1]}}\n"
    "outputs: [x]\ncommand: {a: b}\n",
    "a list": "- type: command\n",
    "nothing": "",
    "a long address": f"type: pipeline\njobs: {{a: {{component: {'x/' * 3000}a.yml}}}}\n",
}


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_no_file_makes_it_hang_or_crash(text: str, tmp_path: Path):
    (tmp_path / "file.yml").write_text(text)
    begun = time.monotonic()
    check_file(tmp_path / "file.yml")
    assert time.monotonic() - begun < LONGEST


def test_components_that_use_each_other_twice_are_checked_once_each(tmp_path: Path):
    for level in range(19):
        nodes = "".join(f"  {name}: {{component: c{level + 1}.yml}}\n" for name in ("one", "two"))
        (tmp_path / f"c{level}.yml").write_text(f"type: pipeline\nname: c\nversion: '1'\njobs:\n{nodes}")
    (tmp_path / "c19.yml").write_text("type: command\nenvironment: azureml:a:1\ncommand: ls ${{inputs.x}}\n")
    begun = time.monotonic()
    found = check_file(tmp_path / "c0.yml")
    assert [(one.file.name, one.rule) for one in found or []] == [("c19.yml", "undeclared")]
    assert time.monotonic() - begun < LONGEST


def mutations(value: object, where: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The way to every field of a document."""
    found = []
    if isinstance(value, dict):
        for name, inner in value.items():
            found += [(*where, name), *mutations(inner, (*where, name))]
    return found


def mutate(value: dict, where: tuple[str, ...], chance: random.Random) -> None:
    """Rename, remove or change one field."""
    *around, name = where
    for step in around:
        value = value[step]
    match chance.choice(["rename", "remove", "change"]):
        case "rename":
            value[f"{name}{chance.choice('xyz_-.')}"] = value.pop(name)
        case "remove":
            del value[name]
        case "change":
            changes = [
                "${{parent.jobs.nope.outputs.x}}",
                "${{",
                "",
                None,
                7,
                [],
                {},
                {"path": "nowhere"},
                True,
                "a b",
                "no",
            ]
            value[name] = chance.choice(changes)


def test_nothing_that_is_done_to_our_files_makes_it_crash(tmp_path: Path):
    chance = random.Random(0)
    for name in ("pipelines", "components", "sample_data", "environments", "src", "endpoints"):
        if name != "pipelines":
            (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "pipelines").mkdir()
    for file in [
        ROOT / "pipelines" / "distilbert.yml",
        ROOT / "components" / "preprocess.yml",
        *(ROOT / "endpoints").rglob("*.yml"),
    ]:
        fields = mutations(read(file).value)
        for _ in range(40):
            value = read(file).value
            mutate(value, chance.choice(fields), chance)
            (tmp_path / "pipelines" / "file.yml").write_text(json.dumps(value, indent=1))
            check_file(tmp_path / "pipelines" / "file.yml")


MISTAKES = [
    (("jobs", "distill", "inputs", "sequences"), "rename"),
    (("jobs", "distill", "inputs", "sequences"), "remove"),
    (("jobs", "distill", "inputs", "temperature"), "rename"),
    (("jobs", "distill", "outputs", "student"), "rename"),
    (("jobs", "distill", "outputs", "student"), "remove"),
    (("jobs", "distill"), "rename"),
    (("jobs", "preprocess"), "rename"),
    (("jobs", "preprocess"), "remove"),
    (("jobs", "preprocess", "component"), "rename"),
    (("jobs", "preprocess", "component"), "remove"),
    (("jobs", "preprocess", "compute"), "rename"),
    (("inputs", "seed"), "rename"),
    (("inputs", "seed"), "remove"),
    (("inputs", "process_count"), "rename"),
    (("outputs", "held_out"), "rename"),
    (("outputs", "held_out"), "remove"),
    (("type",), "rename"),
    (("jobs",), "remove"),
]


@pytest.mark.parametrize(("where", "how"), MISTAKES, ids=[f"{how} {'.'.join(where)}" for where, how in MISTAKES])
def test_a_slip_of_the_pen_in_our_pipeline_is_an_error(where: tuple[str, ...], how: str, tmp_path: Path):
    for name in ("components", "sample_data", "environments", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "pipelines").mkdir()
    value = read(ROOT / "pipelines" / "distilbert.yml").value
    inner = value
    for step in where[:-1]:
        inner = inner[step]
    renamed = {f"{name}x" if name == where[-1] else name: given for name, given in inner.items()}
    given = renamed.copy() if how == "rename" else {name: one for name, one in inner.items() if name != where[-1]}
    inner.clear()
    inner.update(given)
    (tmp_path / "pipelines" / "file.yml").write_text(json.dumps(value, indent=1))
    found = check_file(tmp_path / "pipelines" / "file.yml") or []
    assert any(one.severity == ERROR for one in found), found


def test_a_pipe_beside_a_job_is_not_waited_for(tmp_path: Path):
    (tmp_path / "job.yml").write_text(
        "type: command\ncommand: ls\nenvironment: azureml:any@latest\ncompute: azureml:mine\n"
    )
    os.mkfifo(tmp_path / "pipe.yml")
    said = subprocess.run(
        [sys.executable, "-m", "azureml_local.cli", "check", str(tmp_path / "job.yml")],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "data/odd is no file that can be read, but a pipe, a socket or a device: remove it"),
        (lambda path: path.symlink_to("gone.csv"), "data/odd is a link to gone.csv, which is not there: remove it"),
        (lambda path: path.symlink_to(".."), "data/odd is a link to a folder that it is in, which has no end"),
    ],
)
def test_what_cannot_be_uploaded_is_named(make: Callable[[Path], None], said: str, tmp_path: Path):
    (tmp_path / "data").mkdir()
    make(tmp_path / "data" / "odd")
    (tmp_path / "job.yml").write_text(
        "type: command\ncommand: ls ${{inputs.data}}\nenvironment: azureml:any@latest\n"
        "inputs: {data: {type: uri_folder, path: data}}\n"
    )
    found = check_file(tmp_path / "job.yml")
    assert [one.rule for one in found] == ["missing-file"]
    assert said in found[0].message
    (tmp_path / "data" / ".amlignore").write_text("odd\n")
    assert check_file(tmp_path / "job.yml") == []


@pytest.mark.parametrize("field", ['tags: {"²": [1]}', "tags: {5: [1]}", 'environment_variables: {"²": [1]}'])
def test_names_that_look_like_numbers_are_no_places_in_a_list(field: str, tmp_path: Path):
    file = tmp_path / "job.yml"
    file.write_text(f"type: command\ncommand: ls\nenvironment: azureml:a@latest\n{field}\n")
    (found,) = check_file(file) or []
    assert re.match(r"(tags\.)?[²5] is a list: ", found.message)
    assert found.line == 4


def test_numbers_that_no_float_holds_are_numbers_all_the_same(tmp_path: Path):
    file, huge = tmp_path / "step.yml", "1" + 400 * "0"
    head = "name: step\ntype: command\ncommand: ls ${{inputs.n}}\nenvironment: azureml:a@latest\ninputs:\n"
    file.write_text(f"{head}  n: {{type: integer, min: {huge}}}\n")
    assert [one.rule for one in check_file(file) or []] == ["bad-port"]
    file.write_text("$schema: x/managedOnlineEndpoint.schema.json\nname: paint\ntraffic: {blue: " + 5000 * "1" + "}\n")
    assert [one.rule for one in check_file(file) or []] == ["bad-traffic"]


def test_a_folder_of_code_is_looked_through_once_for_all_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "step.py").touch()
    node = "{type: command, command: python step.py, code: src, environment: 'azureml:a:1'}"
    nodes = "".join(f"  n{number}: {node}\n" for number in range(9))
    (tmp_path / "job.yml").write_text(f"type: pipeline\ncompute: azureml:any\njobs:\n{nodes}")
    looked = Mock(return_value="")
    monkeypatch.setattr("azureml_local.checks.addresses.not_to_be_sent", looked)
    assert check_file(tmp_path / "job.yml") == []
    assert looked.call_count == 1


def test_braces_that_a_template_leaves_without_quotes_are_said_to_be_a_mapping(tmp_path: Path):
    (tmp_path / "job.yml").write_text("type: command\ncommand: ls\nenvironment: {{ENV}}\n")
    (found,) = check_file(tmp_path / "job.yml") or []
    assert (found.rule, found.line) == ("not-yaml", 3)
    assert "as {{NAME}} is to YAML: write it in quotes" in found.message
