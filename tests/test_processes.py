"""Processes end as a whole, and with the workspace."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from azureml_local import guardian
from azureml_local.guardian import Group, signal_group
from azureml_local.processes import Groups, ProcessGroup, end, inherited_variables, last_lines
from small_pipelines import alive, until


@pytest.fixture
def groups() -> Iterator[Groups]:
    groups = Groups()
    yield groups
    groups.close()


def start(command: str, groups: Groups, folder: Path) -> ProcessGroup:
    variables = {"PATH": os.environ["PATH"]}
    return ProcessGroup(
        ["/bin/bash", "-c", command], groups=groups, folder=folder, variables=variables, log=folder / "log"
    )


def test_both_streams_are_in_the_log_while_the_command_runs(groups: Groups, tmp_path: Path) -> None:
    process = start("echo out; echo err >&2; sleep 981.125", groups, tmp_path)
    until(lambda: (tmp_path / "log").read_text() == "out\nerr\n")
    assert process.running
    end([process])
    assert not process.running
    assert process.wait() == -signal.SIGTERM


def test_children_end_with_the_command(groups: Groups, tmp_path: Path) -> None:
    process = start("sleep 980.125 & sleep 980.125 & wait", groups, tmp_path)
    until(lambda: len(alive("sleep 980.125")) == 2 + 1)  # and the shell, whose command line names them
    end([process])
    assert not alive("sleep 980.125")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the system does not show environments")
def test_a_process_that_left_for_a_session_of_its_own_ends_as_well(groups: Groups, tmp_path: Path) -> None:
    process = start("setsid sleep 978.125 & setsid nohup bash -c 'sleep 978.25 & exit 0'; wait", groups, tmp_path)
    until(lambda: alive("sleep 978.125") and alive("sleep 978.25"))
    end([process])
    assert not alive("sleep 978.")


def test_a_command_may_use_its_grace_to_tidy_up(groups: Groups, tmp_path: Path) -> None:
    process = start(
        "trap 'sleep 0.1; echo saved; exit 5' TERM; echo ready; while :; do sleep 0.01; done", groups, tmp_path
    )
    until(lambda: "ready" in last_lines(tmp_path / "log"))
    end([process])
    assert process.wait() == 5
    assert last_lines(tmp_path / "log", 1) == "saved"


def test_ending_what_has_ended_does_nothing(groups: Groups, tmp_path: Path) -> None:
    process = start("exit 3", groups, tmp_path)
    assert process.wait() == 3
    assert not signal_group(process.group.number, 0)
    end([process])


def test_processes_end_where_there_is_no_room_for_a_thread(
    groups: Groups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("sleep 975.25 & sleep 975.5", groups, tmp_path)
    until(lambda: alive("sleep 975.25"))

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refused)
        end([process])
    assert not alive("sleep 975.")
    assert not process.running
    assert not groups._groups


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that nobody here has started, at the head of a group of its own."""
    process = subprocess.Popen(["/bin/sleep", "977.25"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_group_of_others_with_the_number_of_one_that_has_ended_is_left_alone(
    groups: Groups, tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    process = start("setsid sleep 976.25 & exit 0", groups, tmp_path)
    assert process.wait() == 0
    until(lambda: alive("sleep 976.25"))
    process.group = Group(stranger.pid, process.group.marker)
    end([process])
    assert not alive("sleep 976.25"), "what left for a session of its own is found by its mark"
    assert stranger.poll() is None


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the system does not show environments")
def test_nor_does_the_guardian_end_it(stranger: subprocess.Popen[bytes]) -> None:
    run = [sys.executable, "-I", "-S", guardian.__file__]
    subprocess.run(run, input=f"+{stranger.pid} 0123456789abcdef\n", text=True, timeout=30, check=True)
    assert stranger.poll() is None


def test_groups_are_guarded_again_after_the_guardian_died(groups: Groups, tmp_path: Path) -> None:
    first = start("sleep 979.125", groups, tmp_path)
    guardian = groups._guardian
    assert guardian
    guardian.kill()
    guardian.wait()
    second = start("sleep 979.125", groups, tmp_path)
    groups.close()  # ends what the new guardian knows of
    assert {first.wait(), second.wait()} == {-signal.SIGTERM}


def test_a_process_that_ends_after_the_guardian_was_let_go_needs_no_other(groups: Groups, tmp_path: Path) -> None:
    process = start("sleep 981.625", groups, tmp_path)
    groups.close()  # which ends it
    until(lambda: not process.running)
    end([process])
    assert groups._guardian is None


def test_only_the_last_lines_of_a_long_log_are_quoted(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert last_lines(tmp_path / "log", 2) == "line 99998\nline 99999"
    assert last_lines(tmp_path / "none") == ""


def test_what_points_at_the_workspace_is_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/company.pem")
    variables = inherited_variables(tmp_path)
    assert "IDENTITY_ENDPOINT" not in variables
    assert "SSL_CERT_FILE" not in variables
    assert variables["REQUESTS_CA_BUNDLE"] == "/etc/company.pem"
    assert variables["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_a_killed_workspace_leaves_no_process(tmp_path: Path) -> None:
    script = """
import sys, pathlib, time
from azureml_local.processes import Groups, ProcessGroup
here = pathlib.Path(sys.argv[1])
ProcessGroup(["sleep", "982.125"], groups=Groups(), folder=here, variables={"PATH": "/usr/bin:/bin"}, log=here / "log")
print("started", flush=True)
time.sleep(60)
"""
    workspace = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert workspace.stdout
    assert workspace.stdout.readline() == "started\n"
    assert alive("sleep 982.125")
    os.kill(workspace.pid, signal.SIGKILL)
    workspace.communicate()
    until(lambda: not alive("sleep 982.125"))


def test_the_end_of_a_log_is_its_last_lines_and_the_rest_is_not_read(tmp_path: Path):
    log = tmp_path / "log.txt"
    with log.open("wb") as stream:
        stream.seek(1 << 36)  # nobody has the memory for what is before
        stream.write(b"\nfirst\n" + b"x" * 2000 + b"\nlast\n")
    assert last_lines(log, 2) == "x" * 2000 + "\nlast"
    assert last_lines(tmp_path / "absent.txt") == ""
