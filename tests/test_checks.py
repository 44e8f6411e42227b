"""`azureml-local check`: every rule finds its defect, in its line, and nothing else."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from azureml_local import cli
from azureml_local.checks import ERROR, RULES, Located, azure_files, check_file, problems
from azureml_local.checks.yaml_tree import read
from azureml_local.spec import Component, Data, Graph, Node, Output, Pipeline, Port, Sweep
from conftest import ROOT

DEFECTS = ROOT / "tests" / "defects"
ARROW = re.compile(r"^(?P<indent>\s*)(?P<wrong>.*?) # (?P<arrow>[-~])>(?P<right>.*)$")
OWN = [ROOT / name for name in ("components", "pipelines", "endpoints", "environments")]


@dataclass(frozen=True)
class Defect:
    """Files, the first of which is checked, with arrows from what is wrong in them to what is right."""

    rule: str
    files: dict[str, list[str]]

    def write(self, folder: Path, side: str) -> Path:
        """Write the files, with what is `wrong` or `right`; returns the one to check."""
        shutil.copytree(DEFECTS / "world", folder, dirs_exist_ok=True)
        for name, lines in self.files.items():
            (folder / name).write_text("\n".join(filter(None, (_side(line, side) for line in lines))) + "\n")
        return folder / next(iter(self.files))

    def place(self, folder: Path) -> tuple[Path, int]:
        """The file and the line of the arrow."""
        for name, lines in self.files.items():
            for number, line in enumerate(lines, 1):
                if (arrow := ARROW.match(line)) and arrow["arrow"] == "-":
                    return folder / name, number
        raise AssertionError(f"{self.rule}: no line has an arrow")


def _side(line: str, side: str) -> str:
    arrow = ARROW.match(line)
    if not arrow:
        return line
    text = arrow[side].strip()
    return f"{arrow['indent']}{text}" if text else ""


def defects() -> list[Defect]:
    """The table: the text files in `tests/defects`."""
    found = []
    for path in sorted(DEFECTS.glob("*.txt")):
        for text in path.read_text().split("==== ")[1:]:
            rule, _, body = text.partition("\n")
            first, *others = body.rstrip("\n").split("\n---- ")
            files = {"file.yml": first.split("\n")}
            files |= {name: rest.split("\n") for name, _, rest in (other.partition("\n") for other in others)}
            found.append(Defect(rule, files))
    return found


TABLE = defects()


@pytest.mark.parametrize("defect", TABLE, ids=[f"{index}-{one.rule}" for index, one in enumerate(TABLE)])
def test_a_rule_finds_its_defect_in_its_line_and_nothing_in_the_correction(defect: Defect, tmp_path: Path):
    found = check_file(defect.write(tmp_path / "wrong", "wrong"))
    assert found is not None
    assert [(one.rule, one.file, one.line) for one in found] == [(defect.rule, *defect.place(tmp_path / "wrong"))]
    assert found[0].severity == RULES[defect.rule].severity
    assert check_file(defect.write(tmp_path / "right", "right")) == []


def test_every_rule_has_a_defect_and_says_what_it_asks():
    assert {defect.rule for defect in TABLE} == set(RULES)
    for rule in RULES.values():
        assert rule.sentence.endswith("."), rule.name
        assert rule.check is None or rule.check.__doc__, rule.name
