"""The logs of nodes in the log of their pipeline."""

import tracemalloc
from pathlib import Path

import pytest

from azureml_local import live_log
from azureml_local.live_log import EXECUTION_LOG, LiveLog


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """The log folder of a pipeline whose own log is empty."""
    (tmp_path / "pipeline" / EXECUTION_LOG).parent.mkdir(parents=True)
    (tmp_path / "pipeline" / EXECUTION_LOG).touch()
    return tmp_path / "pipeline"


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The log of a node, which is empty."""
    log = tmp_path / "node" / "user_logs" / "std_log.txt"
    log.parent.mkdir(parents=True)
    log.touch()
    return log


def follow(logs: LiveLog, pipeline: Path, node: Path, status: str = "Running") -> str:
    """What is new in the pipeline's log."""
    target = pipeline / EXECUTION_LOG
    before = target.stat().st_size
    logs.follow(pipeline, {"train": {"log_folder": str(node.parents[1]), "status": status}})
    return target.read_bytes()[before:].decode()


def test_lines_appear_once_and_whole(pipeline: Path, node: Path):
    logs = LiveLog()
    node.write_text("10 %\r20 %\r30 %\r\nna\u00efve\n\nhal")
    assert follow(logs, pipeline, node) == "[train] 30 %\n[train] na\u00efve\n[train] \n"
    assert follow(logs, pipeline, node) == ""
    with node.open("a") as log:
        log.write("f\n")
    assert follow(logs, pipeline, node) == "[train] half\n"


def test_a_long_log_is_read_piece_by_piece(pipeline: Path, node: Path, monkeypatch: pytest.MonkeyPatch):
    lines = [f"line {i} " + "x" * (i % 50) for i in range(40_000)]
    node.write_text("\n".join(lines) + "\n")
    size = node.stat().st_size
    monkeypatch.setattr(live_log, "PIECE", 10_000)
    tracemalloc.start()
    LiveLog().follow(pipeline, {"train": {"log_folder": str(node.parents[1])}})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < size / 4
    assert (pipeline / EXECUTION_LOG).read_text() == "".join(f"[train] {line}\n" for line in lines)


def test_a_line_without_an_end_comes_in_pieces(pipeline: Path, node: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_log, "PIECE", 10)
    node.write_text("0123456789" + "abc\nde")
    logs = LiveLog()
    assert follow(logs, pipeline, node) == "[train] 0123456789\n[train] abc\n"
    assert follow(logs, pipeline, node) == ""


def test_the_last_words_of_a_node_that_has_ended_need_no_end_of_line(pipeline: Path, node: Path):
    node.write_text("first\nKilled")
    logs = LiveLog()
    assert follow(logs, pipeline, node) == "[train] first\n"
    assert follow(logs, pipeline, node, "Failed") == "[train] Killed\n"
    assert follow(logs, pipeline, node, "Failed") == ""
