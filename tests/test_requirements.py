"""What the files of a job's environment ask for, and what of it is refused with a sentence."""

import json

import pytest

from azureml_local.environments.conda_files import read_conda_file
from azureml_local.environments.requirements import Requirements, read_requirements


def conda(*dependencies: object) -> Requirements:
    wanted = Requirements()
    read_conda_file(json.dumps({"dependencies": dependencies}), wanted)
    return wanted


def pip(text: str) -> Requirements:
    wanted = Requirements()
    read_requirements(text, "its file", wanted)
    return wanted


@pytest.mark.parametrize(
    ("dependency", "package"),
    [
        ("numpy", "numpy"),
        ("numpy=1.21", "numpy==1.21.*"),
        ("numpy = 1.21.2", "numpy==1.21.2.*"),
        ("numpy==1.21.2", "numpy==1.21.2"),
        ("numpy 1.21.2", "numpy==1.21.2"),
        ("numpy 1.21*", "numpy==1.21.*"),
        ("numpy=1.21.2=py38h5118968_0", "numpy==1.21.2"),
        ("numpy>=1.21,<2", "numpy<2,>=1.21"),
        ("numpy[version='>=1.21']", "numpy>=1.21"),
        ("numpy[version='>=1.21,<2', build=py38*]", "numpy<2,>=1.21"),
        ("numpy[build=py38*, version=1.21.2]", "numpy==1.21.2"),
        ("pytorch[build=*cuda*]", "torch"),
        ("conda-forge::scikit-learn=1.5", "scikit-learn==1.5.*"),
        ("conda-forge/linux-64::pytorch=*=cpu*", "torch"),
        ("pytorch", "torch"),
        ("Py-XGBoost", "xgboost"),
        *((name, name) for name in ("librosa", "libpysal", "llvmlite", "cuda-python")),
    ],
)
def test_a_conda_package_is_taken_from_pip(dependency: str, package: str) -> None:
    wanted = conda(dependency)
    assert wanted.packages == [package]
    assert wanted.refusals == []


@pytest.mark.parametrize(
    ("dependency", "specifier"),
    [
        ("python", ""),
        ("python=3.8", "==3.8.*"),
        ("python=3.8.12", "==3.8.*"),
        ("python==3.8.12", "==3.8.*"),
        ("python 3.8.*", "==3.8.*"),
        ("python=3.8.12=h0744224_0_cpython", "==3.8.*"),
        ("python>=3.8,<3.11", "<3.11,>=3.8"),
    ],
)
def test_of_an_exact_python_the_first_two_numbers_count(dependency: str, specifier: str) -> None:
    assert conda(dependency).python == specifier


@pytest.mark.parametrize("name", ["r-base=4.0", "openmpi", "cudatoolkit=11.3", "gcc_linux-64", "libpng", "llvm-openmp"])
def test_what_is_not_python_is_refused_by_name(name: str) -> None:
    wanted = conda("numpy", name)
    assert wanted.refusals == [f"{name} is no Python package, and the local workspace installs Python packages only"]


def test_what_condas_python_is_made_of_is_there_already() -> None:
    wanted = conda("_libgcc_mutex=0.1", "openssl=1.1.1=h7f98852_0", "zlib")
    assert wanted.packages == wanted.refusals == []
    assert wanted.notes[0] == "_libgcc_mutex=0.1 comes with Python on this machine"


def test_the_pip_section_is_passed_on_line_by_line() -> None:
    lines = [
        "Pandas [parquet,aws] >= 1.2  # why",
        "--extra-index-url https://a.example/simple",
        "git+https://a.example/x",
    ]
    wanted = conda("pip", {"pip": lines})
    assert wanted.packages == ["pip", "pandas[aws,parquet]>=1.2", "git+https://a.example/x"]
    assert wanted.options == ["--extra-index-url https://a.example/simple"]
    assert wanted.refusals == []


def test_the_order_of_packages_makes_no_other_environment_and_that_of_options_does() -> None:
    assert conda("b", "a_b=1", {"pip": ["c>1,<2"]}).file() == conda({"pip": ["C<2, >1"]}, "A.B=1", "b", "b").file()
    assert pip("-i https://a\n-i https://b").file() != pip("-i https://b\n-i https://a").file()
    assert pip("a==1").file() != pip("a==2").file()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-e .", "option"),
        ("-r more.txt", "refers to the file more.txt"),
        ("--target=/tmp", "option"),
        ("--find-links ./wheels", "option"),
        ("--index-url", "option"),
        ("--pre --target /tmp", "option"),
        ("./package", "a path"),
        ("/tmp/a.whl", "a path"),
        ("a @ file:///tmp/a.whl", "a path"),
        ("a --install-option=x", "no requirement"),
        ("a==1 --index-url https://a.example/simple", "no requirement"),
        ("a --hash=sha256:1;x", "hash"),
        ("; rm -rf x", "no requirement"),
        ("a; sys_platform ~= 'linux'", "no requirement"),
        ("a; rm -rf /", "a path"),
        ("$(touch x)", "no requirement"),
        ("a" * 3_000, "a line of 3,000 characters"),
    ],
)
def test_a_line_that_is_not_understood_is_refused(line: str, reason: str) -> None:
    wanted = pip(line)
    assert wanted.packages == wanted.options == []
    assert len(wanted.refusals) == 1
    assert reason in wanted.refusals[0]
    assert len(wanted.refusals[0]) < 250


def test_a_line_cannot_hide_in_another() -> None:
    wanted = conda({"pip": ["a\n--target=/tmp\nb"]}, "c\n--target=/tmp")
    assert wanted.packages == ["a", "b"]
    assert len(wanted.refusals) == 2


@pytest.mark.parametrize(
    "text",
    [
        "- numpy",
        "numpy",
        "{",
        "dependencies: numpy",
        "dependencies: [[numpy]]",
        "dependencies: [3.8]",
        "dependencies: [{npm: [x]}]",
        "dependencies: [{pip: [[x]]}]",
        "dependencies: [{pip: {x: y}}]",
        "dependencies: [--index-url=https://a.example]",
        "dependencies: ['numpy=1.1|1.2']",
        "dependencies: ['numpy=1.21.2; rm -rf /']",
        "[" * 5_000,
        "a: 2024-99-99",
        "#" * 300_000,
        "&a [" + "*a," * 10 + "]",
        "dependencies: !!python/object/apply:os.system [ls]",
    ],
)
@pytest.mark.usefixtures("no_garbage_collection")
def test_a_conda_file_that_is_none_is_refused(text: str) -> None:
    wanted = Requirements()
    read_conda_file(text, wanted)
    assert len(wanted.refusals) == 1
    assert len(wanted.refusals[0]) < 250
    assert wanted.packages == wanted.options == []


def test_an_empty_conda_file_asks_for_nothing() -> None:
    wanted = Requirements()
    read_conda_file("name: empty", wanted)
    assert wanted == Requirements()


def test_a_secret_in_an_address_is_not_shown() -> None:
    wanted = pip("--target=https://user:sesame@a.example/simple")
    assert "sesame" not in wanted.refusals[0]
    assert "https://***@a.example" in wanted.refusals[0]
