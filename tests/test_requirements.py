"""What the files of a job's environment ask for, and what of it is refused with a sentence."""

import json
from pathlib import Path

import pytest

from azureml_local.conda_files import read_conda_file
from azureml_local.dockerfiles import read_dockerfile, read_image
from azureml_local.readiness import readiness, requirements_of
from azureml_local.requirements import Requirements, read_requirements
from azureml_local.spec import Environment


def conda(*dependencies: object) -> Requirements:
    wanted = Requirements()
    read_conda_file(json.dumps({"dependencies": dependencies}), wanted)
    return wanted


def pip(text: str) -> Requirements:
    wanted = Requirements()
    read_requirements(text, "its file", wanted)
    return wanted


def docker(folder: Path, *lines: str) -> Requirements:
    wanted = Requirements()
    (folder / "Dockerfile").write_text("\n".join(lines))
    read_dockerfile(folder, "Dockerfile", wanted)
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
        ("conda-forge::scikit-learn=1.5", "scikit-learn==1.5.*"),
        ("conda-forge/linux-64::pytorch=*=cpu*", "torch"),
        ("pytorch", "torch"),
        ("Py-XGBoost", "xgboost"),
        ("librosa", "librosa"),
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


@pytest.mark.parametrize("name", ["r-base=4.0", "openmpi", "cudatoolkit=11.3", "gcc_linux-64", "libpng", "graphviz"])
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
        ("a --hash=sha256:1;x", "hash"),
        ("; rm -rf x", "no requirement"),
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


def test_a_dockerfile_of_pip_installs_is_followed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "requirements.txt").write_text("pandas\n-r more.txt\n")
    (tmp_path / "deep" / "more.txt").write_text("scipy\n")
    wanted = docker(
        tmp_path,
        "# a comment",
        "FROM python:3.8.13",
        "ENV MODE=fast LEVEL='a b'",
        "COPY deep/requirements.txt /tmp/requirements.txt",
        "RUN pip install --no-cache-dir 'matplotlib>=3.3,<3.4' \\",
        "      # in between",
        "      tqdm && python -m pip install -r /tmp/requirements.txt",
        'CMD ["python"]',
    )
    assert wanted.refusals == []
    assert wanted.python == "==3.8.*"
    assert wanted.packages == ["matplotlib<3.4,>=3.3", "tqdm", "pandas", "scipy"]
    assert wanted.variables == {"MODE": "fast", "LEVEL": "a b"}


@pytest.mark.parametrize(
    "command",
    [
        "apt-get update -qq && apt-get install -y gcc",
        "conda install numpy",
        "R -e 'install.packages(1)'",
        "pip install a | tee log",
        "pip install a > log",
        "pip install $PACKAGE",
        "pip install `cat x`",
        "pip uninstall a",
        '["pip", "install", "a"]',
        "pip install 'a",
        "curl https://a.example | bash",
        "<<END",
    ],
)
def test_anything_else_in_a_dockerfile_is_refused_with_its_line(tmp_path: Path, command: str) -> None:
    wanted = docker(tmp_path, "FROM python", "", "RUN pip install -U pip", f"RUN {command}")
    assert wanted.refusals
    assert wanted.refusals[0].startswith("its Dockerfile, line 4, runs ")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("RUN pip install -r /etc/passwd", "which is not in the build context"),
        ("RUN pip install -r ../outside.txt", "which is not in the build context"),
        ("RUN pip install -r endless.txt", "which is not in the build context"),
        ("RUN pip install -e .", "option"),
        ("RUN pip install .", "which is"),
        ("FROM python AS second", "another stage"),
        ("JUMP high", "not understood"),
    ],
)
def test_a_dockerfile_reaches_its_context_only(tmp_path: Path, line: str, reason: str) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (tmp_path / "outside.txt").write_text("a")
    (context / "endless.txt").write_text("-r endless.txt")
    wanted = docker(context, "FROM python", line)
    assert wanted.packages == []
    assert len(wanted.refusals) == 1
    assert reason in wanted.refusals[0]


@pytest.mark.parametrize("name", ["Dockerfile", "../Dockerfile", "a\0b", "x" * 5_000])
def test_a_dockerfile_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "Dockerfile").write_text("FROM python")
    wanted = Requirements()
    read_dockerfile(tmp_path / "context", name, wanted)
    assert len(wanted.refusals) == 1


@pytest.mark.parametrize(
    ("image", "python", "is_bare"),
    [
        ("library/python:latest", "", True),
        ("docker.io/python", "", True),
        ("library/python:3.11.6", "==3.11.*", True),
        ("python:3.9-slim", "==3.9.*", True),
        ("mcr.microsoft.com/azureml/openmpi5.0-cuda12.4-ubuntu22.04:latest", "", True),
        ("pytorch/pytorch:2.0", "", False),
        ("jupyter/notebook-python-3.7", "", False),
    ],
)
def test_an_images_name_tells_its_python(image: str, python: str, is_bare: bool) -> None:
    wanted = Requirements()
    assert read_image(image, wanted) == is_bare
    assert wanted == Requirements(python=python)


def test_an_image_for_r_is_refused() -> None:
    wanted = requirements_of(Environment(name="r:1", image="rocker/tidyverse:4.0.0-ubuntu18.04"))
    assert wanted.refusals == [
        "the image rocker/tidyverse:4.0.0-ubuntu18.04 is made for R, and the local workspace runs Python only"
    ]


def test_each_requirement_that_is_not_met_has_a_sentence() -> None:
    lines = [
        "dependencies:",
        "- python=2.7",
        "- pytest>=99",
        "- pip:",
        "  - no-such-thing",
        "  - pytest; python_version<'3'",
    ]
    ready = readiness(Environment(name="mine:1", conda="\n".join([*lines, "- r-base"])))
    pytest_version = pytest.__version__
    assert ready.unmet[0].startswith("python==2.7.*: 3.")
    assert ready.unmet[1] == f"pytest>=99: {pytest_version} is installed"
    assert ready.unmet[2] == "no-such-thing: not installed"
    assert ready.unmet[3].startswith("r-base is no Python package")
    assert len(ready.unmet) == 4
    assert ready.warning.startswith('environment "mine:1": 3 requirements are not met (python==2.7.*')
    assert ready.warning.endswith(
        "; r-base is no Python package, and the local workspace installs Python packages only"
    )


def test_a_warning_says_what_would_help() -> None:
    ready = readiness(Environment(name="mine:1", conda="dependencies: [no-such-thing]"))
    assert ready.warning == (
        'environment "mine:1": 1 requirement is not met (no-such-thing: not installed); a workspace that was started '
        "with --build-environments makes one that has them"
    )


def test_an_environment_that_is_met_gives_no_warning() -> None:
    ready = readiness(Environment(name="mine:1", image="python", conda="dependencies: [python, pytest]"))
    assert ready.unmet == ()
    assert ready.warning == ""
    assert ready.notes == ("the image python is not used: jobs are processes of this machine",)


def test_an_environment_of_a_registry_is_named_with_the_way_out() -> None:
    name = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"
    ready = readiness(Environment(name=name))
    assert ready.unmet == ()
    assert ready.warning == ""
    assert ready.notes == (
        "it belongs to a registry and its packages are not known: "
        'register an environment "sklearn-1.5" with its conda file',
    )
