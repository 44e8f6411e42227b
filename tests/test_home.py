"""The folder of a workspace: what may be in it when it is made, and what a start that was cut off leaves."""

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import certifi
import pytest
import trustme

from azureml_local.cli import main
from azureml_local.connection import BUNDLES
from azureml_local.disk import remove
from azureml_local.environments.cache import EnvironmentCache
from azureml_local.errors import InputError
from azureml_local.exit_status import MISTAKE
from azureml_local.home import HOME_VARIABLE, SPECIAL, Home
from azureml_local.identity import read_secret
from conftest import ROOT
from local_commands import azureml_local, command_line
from test_certificates import authorities


def created(path: Path) -> Home:
    """The folder of a workspace that has never been up."""
    home = Home(path)
    home.create()
    read_secret(home.secret)
    return home


def test_a_folder_with_somebodys_files_becomes_no_workspace(tmp_path: Path):
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "training.yml").write_text("mine")
    tmp_path.chmod(0o755)
    said = azureml_local("up", home=tmp_path)
    assert said.returncode != 0
    assert f"A workspace cannot be kept at {tmp_path}: there is something else in the folder, such as" in said.stderr
    assert "Traceback" not in said.stderr
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert list(tmp_path.rglob("*")) == [tmp_path / "environments", tmp_path / "environments" / "training.yml"]


def test_a_start_that_was_cut_off_can_be_made_again(tmp_path: Path):
    home = Home(tmp_path)
    for file in (home.users, home.lock, home.log, home.secret):
        file.touch()
    home.secret.with_suffix(".new").write_text("hal")
    home.create()
    secret = read_secret(home.secret)
    assert len(secret) > 40
    assert read_secret(home.secret) == secret
    assert home.secret.stat().st_mode & 0o077 == 0


def test_secrets_are_drawn_for_each_workspace(tmp_path: Path):
    secrets = set()
    for name in ("one", "two"):
        home = Home(tmp_path / name)
        home.create()
        secrets.add(read_secret(home.secret))
        assert stat.S_IMODE(home.secret.stat().st_mode) == 0o600
    assert len(secrets) == 2
    assert min(map(len, secrets)) >= 48


def test_builds_that_did_not_end_are_swept_and_nothing_else(tmp_path: Path):
    for name in ("training", "0123456789abcdef-01234567"):
        (tmp_path / name).mkdir()
    made = EnvironmentCache(tmp_path).new_folder("f" * 64)
    assert {path.name for path in tmp_path.iterdir()} == {"training", made.name}


def test_a_link_to_where_no_workspace_can_be_kept_is_no_way_there(tmp_path: Path):
    (tmp_path / "two words").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "two words")
    with pytest.raises(InputError, match="two words: paths are put into commands as they are, and ' ' means"):
        Home.choose(tmp_path / "link")


def test_a_workspace_whose_certificate_is_damaged_says_so_and_ends(tmp_path: Path):
    home = created(tmp_path / "home")
    home.certificates.mkdir()
    for name in ("server.pem", "authority.pem"):
        (home.certificates / name).write_text("-----BEGIN")
    done = subprocess.run(
        [sys.executable, "-m", "azureml_local.server", str(home.path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "SSL" in done.stderr


def test_whom_a_companys_shell_trusts_the_clients_trust_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in BUNDLES:
        monkeypatch.delenv(name, raising=False)
    company, home = tmp_path / "company.pem", Home(tmp_path / "home")
    trustme.CA().cert_pem.write_to_path(str(company))
    monkeypatch.setenv("SSL_CERT_FILE", str(company))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(home.bundle))
    for command in ("up", "down"):
        subprocess.run(command_line(command, home=home.path), check=True, capture_output=True, timeout=120)
    own = authorities(home.certificates / "authority.pem")
    assert authorities(home.bundle) == authorities(certifi.where()) | authorities(company) | own


def test_a_link_to_itself_is_no_way_to_a_workspace(tmp_path: Path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match="loop: the path leads nowhere"):
        Home.choose(tmp_path / "loop")


def test_a_workspace_behind_a_link_is_deleted_with_the_link(tmp_path: Path):
    real = created(tmp_path / "real")
    (tmp_path / "link").symlink_to(real.path)
    remove(Home(tmp_path / "link"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_place_for_a_workspace_and_a_hint_names_the_place(tmp_path: Path):
    (tmp_path / "file").touch()
    said = azureml_local("up", home=tmp_path / "file").stderr
    assert said.endswith(f"Cannot keep a workspace at {tmp_path / 'file'}: it is no folder. Choose another folder.\n")
    said = azureml_local("env", home=tmp_path / "none").stderr
    assert f"start it with `azureml-local up --home {tmp_path / 'none'}`" in said


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), sqlite3.OperationalError("database or disk is full")]
)
def test_a_full_disk_is_one_sentence(error: Exception, monkeypatch: pytest.MonkeyPatch, capsys):
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr("azureml_local.workspace_commands.status", fail)
    assert main(["status"]) == MISTAKE
    said = capsys.readouterr().err
    assert str(error.args[-1]) in said
    assert said.count("\n") == 1


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_the_makefile_refuses_the_paths_that_the_workspace_refuses():
    signs = [sign for sign in map(chr, range(32, 127)) if sign not in "/."]
    refused = []
    for sign in signs:
        variables = os.environ | {HOME_VARIABLE: f"/tmp/work{sign}space"}
        done = subprocess.run(["make", "-s", "home"], cwd=ROOT, env=variables, capture_output=True, text=True)
        refused += [sign] if done.returncode else []
        assert ("cannot be kept at /tmp/work" in done.stdout) is bool(done.returncode), done
    assert refused == [sign for sign in signs if SPECIAL.search(sign)]
