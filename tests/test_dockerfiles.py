"""Dockerfiles and images: what pip can do of them, and what is refused with its line."""

from pathlib import Path

import pytest

from azureml_local.environments.dockerfiles import read_dockerfile, read_image
from azureml_local.environments.requirements import Requirements


def docker(folder: Path, *lines: str) -> Requirements:
    wanted = Requirements()
    (folder / "Dockerfile").write_text("\n".join(lines))
    read_dockerfile(folder, "Dockerfile", wanted)
    return wanted


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
        "RUN pip install rich # needed for training, don't pin",
        "RUN pip install 'click';# and more",
        'CMD ["python"]',
    )
    assert wanted.refusals == []
    assert wanted.python == "==3.8.*"
    assert wanted.packages == ["matplotlib<3.4,>=3.3", "tqdm", "pandas", "scipy", "rich", "click"]
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


def test_what_no_shell_reads_is_taken_as_it_is(tmp_path: Path) -> None:
    wanted = docker(
        tmp_path,
        "FROM python",
        "ENV A=b#c URL=http://x/?a=b&c F='a;b' G=(x)",
        "ENV TEXT hello,  you # and more",
        'ENV SAID\t"hello  world"',
        "ENV OPEN it's",
        "ENV ODD='no end",
        "ENV WITHOUT=1 pair",
        "RUN pip install git+https://example.org/a/b.git#egg=b",
    )
    assert wanted.variables == {
        "A": "b#c",
        "URL": "http://x/?a=b&c",
        "F": "a;b",
        "G": "(x)",
        "TEXT": "hello,  you # and more",
        "SAID": "hello  world",
        "WITHOUT": "1",
    }
    notes = [note for note in wanted.notes if " is not followed: ENV " in note]
    assert [note.rpartition("ENV ")[2] for note in notes] == ["OPEN it's", "ODD='no end", "pair"]
    assert "egg" not in str(wanted.refusals)
