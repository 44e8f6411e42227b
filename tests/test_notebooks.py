"""The sample notebooks, from top to bottom in a clean kernel against a workspace.

The SDK example is part of the tests; `make notebooks` runs all three and keeps them with their outputs.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT
from running_workspace import run_in, running_workspace

NOTEBOOKS = ROOT / "notebooks"
NAMES = ("sdk-example", "fill-mask-online-endpoint", "fill-mask-evaluation")  # in the order in which they are read
ALL = pytest.mark.skipif(os.environ.get("RUN_NOTEBOOKS") != "all", reason="`make notebooks` runs all three")
KEPT = os.environ.get("KEEP_NOTEBOOKS")  # a folder for the executed ones
BESIDE = ("components", "endpoints", "environments", "pipelines", "sample_data", "src")  # what they refer to
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
notebook.cells.append(nbformat.v4.new_code_cell(sys.argv[2]))
NotebookClient(notebook, timeout=400, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


class Project:
    """A copy of the notebooks beside the repository's files, and a workspace that `config.json` names."""

    def __init__(self, folder: Path, exports: str):
        self.folder, self.exports = folder, exports
        shutil.copytree(NOTEBOOKS, folder / "notebooks")
        for name in BESIDE:
            (folder / name).symlink_to(ROOT / name)
        self.run("-m", "azureml_local.cli", "config", str(folder))

    def run(self, *arguments: str) -> str:
        """The output of a Python that is pointed at the workspace."""
        result = run_in(self.exports, [sys.executable, *arguments], self.folder / "notebooks")
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def execute(self, name: str, afterwards: str = "") -> str:
        """Run a notebook and a last cell; what its cells printed and showed as text."""
        self.run("-c", EXECUTE, f"{name}.ipynb", afterwards)
        executed = json.loads((self.folder / "notebooks" / f"{name}.ipynb").read_text())
        cells = executed["cells"]
        if KEPT:
            kept = ROOT / KEPT / f"{name}.ipynb"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps({**executed, "cells": cells[:-1]}, indent=1) + "\n")
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        shown = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
        self.figures = sum("image/png" in output.get("data", {}) for output in outputs)
        return "".join("".join(part) + "\n" for part in shown)

    def ask(self, script: str) -> str:
        """What a script prints that has `client`."""
        connect = "from azure.ai.ml import MLClient; from azure.identity import DefaultAzureCredential; "
        return self.run("-c", f"{connect}client = MLClient.from_config(DefaultAzureCredential()); {script}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("notebooks")
    with running_workspace(folder / "home") as exports:
        (folder / "project").mkdir()
        yield Project(folder / "project", exports)


def cells(name: str) -> list[dict]:
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_stored_without_outputs_and_names_no_workspace(name: str):
    code = [cell for cell in cells(name) if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    text = "\n".join("".join(cell["source"]) for cell in cells(name))
    assert not re.search(r"127\.0\.0\.1|localhost|azureml.local|AZUREML_|certificat|verify|/home/|/tmp/", text)
    assert not re.search(r"^\s*(if|elif|try|except)\b", text, re.MULTILINE), "no branch between two worlds"
    assert [path.stem for path in NOTEBOOKS.glob("*.ipynb")].count(name) == 1
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(NAMES)


def test_the_sdk_example(project: Project):
    shown = project.execute("sdk-example")
    found = dict(
        re.findall(r"^(mlm_loss|mlm_accuracy|teacher_agreement|num_parameters) +([\d.,]+)$", shown, re.MULTILINE)
    )
    assert set(found) == {"mlm_loss", "mlm_accuracy", "teacher_agreement", "num_parameters"}
    assert 0 < float(found["mlm_loss"]) < 6
    assert project.figures == 1
    assert "distilbert-fill-mask:1" in shown
    assert project.ask("print([m.version for m in client.models.list('distilbert-fill-mask')])").strip() == "['1']"
    assert project.ask("print([job.name for job in client.jobs.list()])").strip() == "[]", "the job is archived"


@ALL
def test_the_online_endpoint(project: Project):
    shown = project.execute("fill-mask-online-endpoint", "print('rows:', json.dumps(table.to_dict('records')))")
    rows = json.loads(re.search(r"^rows: (.+)$", shown, re.MULTILINE).group(1))
    assert sum(row["right"] for row in rows) >= 4
    assert f"{sum(row['right'] for row in rows) / 21:.0%} of the words are the true ones" in shown
    assert "{'blue': 90, 'green': 10}" in shown
    assert "green agrees with blue on 21 of 21 sentences" in shown
    assert {row["masked"]: row["prediction"] for row in rows}["Paris is the [MASK] of France."] == "capital"
    assert project.ask("print(list(client.online_endpoints.list()))").strip() == "[]"


@ALL
def test_the_evaluation(project: Project):
    shown = project.execute("fill-mask-evaluation", "print('rows:', table.to_json(orient='index'))")
    rows = json.loads(re.search(r"^rows: (.+)$", shown, re.MULTILINE).group(1))
    assert set(rows) == {"teacher", "student", "baseline"}
    assert all(row["exact_match_low"] <= row["exact_match"] <= row["exact_match_high"] for row in rows.values())
    assert all(row["test_rows"] == 200 for row in rows.values())
    right = {name: row["exact_match"] for name, row in rows.items()}
    assert min(right["teacher"], right["student"]) > 0.2
    assert right["baseline"] < right["student"], "it had no teacher"
    assert project.figures == 1
