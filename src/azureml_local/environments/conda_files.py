"""Conda files, read as far as pip can install what they ask for.

A dependency that is a Python package is taken from pip's index: under its own name, or under the one in `PYPI_NAMES`.
What conda has and pip has not - compilers, CUDA, R, programs - is refused by name.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from azureml_local.environments.requirements import LARGEST, LONGEST, Requirements, read_requirements, shown

WHERE = "its conda file"

# The same library under another name.
PYPI_NAMES = {
    "dask-core": "dask",
    "keras-gpu": "keras",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "opencv": "opencv-python",
    "py-opencv": "opencv-python",
    "py-xgboost": "xgboost",
    "pyqt": "pyqt5",
    "pytables": "tables",
    "python-graphviz": "graphviz",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "ruamel_yaml": "ruamel.yaml",
    "seaborn-base": "seaborn",
    "tensorflow-gpu": "tensorflow",
}
# What conda's own Python is made of: an installed Python has it already. `conda env export` lists all of it.
_OF_PYTHON = re.compile(
    r"_libgcc_mutex|_openmp_mutex|bzip2|ca-certificates|cpuonly|expat|ld_impl_.*|libexpat|libffi|libgcc(-ng)?|libgomp"
    r"|libnsl|libsqlite|libstdcxx(-ng)?|libuuid|libxcrypt|libzlib|ncurses|openssl|python_abi|readline|sqlite|tk|xz|zlib"
)
_NOT_PYTHON = re.compile(
    r"r|r-.*|rstudio|julia|perl|nodejs|openjdk|rust|go"
    r"|(open|intel|micro)?mpi(ch)?|cuda(?!-python$|-bindings$).*|cudnn|nccl|pytorch-cuda|blas|(lib)?openblas|tbb"
    r"|(gcc|gxx|gfortran|clang|clangxx|binutils|sysroot)(_.*)?|g\+\+|make|compilers|(c|cxx)-compiler|llvm(?!lite$).*"
    r"|lib(?!rosa$|cst$|pysal$|tmux$).+|_.*"
    r"|git|git-lfs|curl|wget|unzip|vim|ffmpeg|graphviz|poppler|tesseract|pandoc|conda|mamba|gdal|proj|geos|hdf5"
)
_DEPENDENCY = re.compile(r"(?:[\w./:-]+::)?(?P<name>[A-Za-z_][\w.+-]*)\s*(?P<version>.*)")
_BRACKETS = re.compile(r"\[(.*)\]")
_IN_BRACKETS = re.compile(r"""(\w+)\s*=\s*(?:'([^']*)'|"([^"]*)"|([^,'"]*))""")
_CLAUSE = re.compile(r"(==|=|!=|>=|<=|~=|>|<)?\s*([\w.+!*-]+)")


def read_conda_file(text: str, wanted: Requirements) -> None:
    """Add what a conda file, in YAML or JSON, asks for to what is wanted."""
    if len(text) > LARGEST:
        wanted.refusals.append(f"{WHERE} has {len(text):,} characters; at most {LARGEST:,} are read: make it shorter")
        return
    try:
        file = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):  # a date such as 2024-99-99 is a ValueError
        wanted.refusals.append(f"{WHERE} is not YAML")
        return
    if not isinstance(file, dict):
        wanted.refusals.append(f"{WHERE} is not a mapping with dependencies, as in `dependencies: [python=3.11]`")
        return
    dependencies = file.get("dependencies") or []
    if not isinstance(dependencies, list):
        wanted.refusals.append(f"{WHERE} has dependencies that are not a list")
        return
    for dependency in dependencies:
        _read_dependency(dependency, wanted)


def _read_dependency(dependency: Any, wanted: Requirements) -> None:
    if isinstance(dependency, str):
        _read_package(dependency, wanted)
    elif isinstance(dependency, dict) and set(dependency) == {"pip"}:
        _read_pip(dependency["pip"], wanted)
    else:
        wanted.refusals.append(f"{WHERE} has a dependency that is neither a package nor a list `pip:` of packages")


def _read_pip(lines: Any, wanted: Requirements) -> None:
    lines = [lines] if isinstance(lines, str) else lines or []
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        wanted.refusals.append(f"{WHERE} has a list `pip:` that holds something else than packages")
        return
    for line in lines:
        read_requirements(line, WHERE, wanted)


def _read_package(dependency: str, wanted: Requirements) -> None:
    match = _DEPENDENCY.fullmatch(dependency.strip()) if len(dependency) <= LONGEST else None
    if not match:
        wanted.refusals.append(f'{WHERE} has "{shown(dependency)}", which is no package that conda understands')
        return
    name = match["name"].lower()
    version, build = _version_and_build(match["version"])
    if name == "python":
        _read_python(version, dependency, wanted)
    elif _OF_PYTHON.fullmatch(name):
        wanted.notes.append(f"{shown(dependency)} comes with Python on this machine")
    elif _NOT_PYTHON.fullmatch(name):
        wanted.refusals.append(
            f"{shown(dependency)} is no Python package, and the local workspace installs Python packages only"
        )
    elif (specifier := _specifier(version)) is None:
        wanted.refusals.append(f'{WHERE} has "{shown(dependency)}", whose version pip cannot express')
    else:
        if build:
            wanted.notes.append(f"{shown(dependency)} is installed without regard to its build {shown(build)}")
        read_requirements(f"{PYPI_NAMES.get(name, name)}{specifier}", WHERE, wanted)


def _read_python(version: str, dependency: str, wanted: Requirements) -> None:
    """Ask for a Python. Of an exact version the first two numbers count: any 3.8 runs what 3.8.12 does."""
    shorter = ",".join(re.sub(r"^\s*={0,2}\s*(\d+\.\d+)(\.[\w.*]*)?\s*$", r"=\1", part) for part in version.split(","))
    specifier = _specifier(shorter)
    if specifier is None:
        wanted.refusals.append(f'{WHERE} has "{shown(dependency)}", which is no version of Python')
    else:
        wanted.python = specifier


def _version_and_build(text: str) -> tuple[str, str]:
    """The parts of `=1.21.2=py38_0`, `1.21.2 py38_0` or `[version='>=1.21']`."""
    if match := _BRACKETS.fullmatch(text.strip()):
        given = {name: "".join(value).strip() for name, *value in _IN_BRACKETS.findall(match[1])}
        return given.get("version", ""), given.get("build", "")
    if match := re.fullmatch(r"(={1,2}[^=\s,<>]+)=([^=\s]+)|(\d[^\s=<>,]*)\s+(\S+)", text.strip()):
        version, build = (match[1], match[2]) if match[1] else (match[3], match[4])
        # With a build, `=` means exactly this version.
        return f"=={version.lstrip('=')}", "" if build == "*" else build
    return text.strip(), ""


def _specifier(version: str) -> str | None:
    """A version in conda's words as pip has it: `=1.21` is `==1.21.*`. None where pip has no words for it."""
    if version in ("", "*", "=*", "==*"):
        return ""
    clauses = [_CLAUSE.fullmatch(part.strip()) for part in version.split(",")]
    try:
        return str(SpecifierSet(",".join(_clause(*clause.groups()) if clause else "?" for clause in clauses)))
    except InvalidSpecifier:
        return None


def _clause(operator: str | None, number: str) -> str:
    begins = number.endswith("*")
    number = number.rstrip("*").rstrip(".")
    if operator == "=" or (begins and operator in (None, "==", "!=")):
        return f"{'!=' if operator == '!=' else '=='}{number}.*"
    return f"{operator or '=='}{number}"
