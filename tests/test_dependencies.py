"""What is imported, declared, pinned and installed on Azure is the same."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from bert_distillation.export import PIP_REQUIREMENTS
from conftest import ROOT

OURS = {"azureml_local", "bert_distillation"}
ENVIRONMENTS = sorted(ROOT.glob("environments/*/conda.yml"))


def name_of(requirement: str) -> str:
    """The name that a requirement begins with, as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement).group()).lower()


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {name_of(requirement) for requirement in project["dependencies"]}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def imported() -> set[str]:
    """The distributions that the sources import, each by its name in a package index."""
    distributions = packages_distributions()
    found = set()
    for module in {module for file in ROOT.glob("src/**/*.py") for module in imports(file)}:
        package, *rest = module.split(".")
        if package == "azure":  # a namespace that many distributions share
            found.add("azure-" + ("ai-ml" if rest[0] == "ai" else rest[0]))
        elif package not in sys.stdlib_module_names | OURS:
            names = {name_of(name) for name in distributions[package]}
            # mlflow comes as three distributions; the one called like its package brings the others.
            found |= names & {name_of(package)} or names
    return found


def pins(text: str) -> dict[str, str]:
    """Names and versions; a build such as +cu126 is no other version."""
    return {name_of(name): version for name, version in re.findall(r"([\w.-]+)==([^\s+#]+)", text)}


def test_what_the_sources_import_is_declared_and_nothing_else():
    for_azure = {name_of(requirement) for requirement in PIP_REQUIREMENTS}
    assert imported() - declared() == set()
    assert declared() - imported() - for_azure == set()


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.parent.name)
def test_an_environment_on_azure_has_the_versions_that_are_tested_here(file: Path):
    constraints = pins((ROOT / "constraints.txt").read_text())
    requirements = yaml.safe_load(file.read_text())["dependencies"][-1]["pip"]
    pinned = pins("\n".join(requirements))
    assert len(pinned) == len([requirement for requirement in requirements if not requirement.startswith("-")])
    assert pinned.items() <= constraints.items()
